# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A vector environment whose worlds are divided among processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from zprl.sim.workers.memory import SharedRows, copied
from zprl.sim.workers.worker import SUCCESS_KEY
from zprl.utils.errors import ZprlError

_PATIENCE = 5.0
"""How long a worker may take to end once it is told to [s]."""

_PROGRAM = "import sys; sys.path[:] = {path!r}; from zprl.sim.workers.worker import main; main({socket})"


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


class WorkerVectorEnv(VectorEnv):
    """N worlds in W processes, each of which steps its own one after another. Episodes begin anew in the same step.

    A world's row depends on its seed and its actions alone, and not on N, W or its place. Unlike
    :class:`gymnasium.vector.AsyncVectorEnv`, which starts a process for each world, it lets a process have many: each
    exchange costs some 20 us, and more processes than cores only wait for each other. Workers are fresh processes
    rather than copies of this one, so that they hold none of its threads, files or memory.

    Args:
        make: Makes a world, whose observations are boxes, alone or in a ``gymnasium.spaces.Dict``, and whose
            ``info["success"]`` says whether it has succeeded. It is sent to the workers, so it has to be a function of
            a module.
        num_envs: Number of worlds N.
        workers: Number of processes W; as many as there are cores if None, and never more than worlds.
        arguments: Arguments of ``make``.
        what: What the worlds are, for error messages.

    Raises:
        ZprlError: If a worker cannot make its worlds.
    """

    def __init__(
        self,
        make: Callable[..., gymnasium.Env],
        num_envs: int,
        workers: int | None = None,
        arguments: Mapping[str, Any] | None = None,
        what: str = "the environment",
    ) -> None:
        arguments, self._what = dict(arguments or {}), what
        self._workers: list[_Worker] = []
        world = make(**arguments)  # one here, to see what it observes and does
        try:
            self.metadata = {**world.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
            self.single_observation_space, self.single_action_space = world.observation_space, world.action_space
            self._world = world
        finally:
            world.close()
        assert isinstance(self.single_action_space, Box)
        self.num_envs = num_envs
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        spaces = self.single_observation_space, self.single_action_space
        self._rows = SharedRows(None, num_envs, *spaces)
        count = min(workers or available_cores(), num_envs)
        try:
            for part in np.array_split(np.arange(num_envs), count):
                self._workers.append(_Worker(range(int(part[0]), int(part[-1]) + 1), self._rows.descriptor))
            self._ask(
                "make",
                lambda worker: (
                    *(make, arguments, worker.worlds.start, worker.worlds.stop),
                    (self._rows.descriptor, num_envs, *spaces),
                ),
            )
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every world.

        Args:
            seed: A seed per world, or one from which world i gets seed + i, or None to go on with each world's own
                random numbers.
            options: Not used.

        Returns:
            Observations (N, ...), which the next step overwrites, and an empty dictionary.
        """
        seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
        self._ask("reset", lambda w: (None if seeds is None else list(seeds[w.worlds.start : w.worlds.stop]),))
        return self._rows.obs, {}

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Do a step in every world.

        Args:
            actions: Actions (N, A).

        Returns:
            Observations (N, ...), which the next step overwrites, rewards, terminated, truncated (N,), and a dictionary
            with ``success`` (N,) and, where episodes have ended, their last observations ``final_obs``.
        """
        rows = self._rows
        rows.action[:] = actions
        self._ask("step", lambda worker: ())
        info: dict[str, Any] = {SUCCESS_KEY: rows.success.copy(), f"_{SUCCESS_KEY}": rows.told.copy()}
        ended = rows.terminated | rows.truncated
        if ended.any():
            info |= {"final_obs": copied(rows.final), "_final_obs": ended}
        return rows.obs, rows.reward.copy(), rows.terminated.copy(), rows.truncated.copy(), info

    def call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """Return what a method of each world, or of its wrappers, returns, or an attribute."""
        return tuple(value for part in self._ask("call", lambda worker: (name, arguments)) for value in part)

    def knows(self, name: str) -> bool:
        """Return whether the worlds have a method or an attribute."""
        return self._world.has_wrapper_attr(name)

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers; called once by ``close``."""
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.await_end()
        if hasattr(self, "_rows") and self._rows.descriptor >= 0:
            os.close(self._rows.descriptor)
            self._rows.descriptor = -1

    def _ask(self, command: str, argument: Callable[[_Worker], tuple[Any, ...]]) -> list[Any]:
        """Let all workers do something at once, and return what each answers."""
        failures, answers = [], []
        for worker in self._workers:
            with contextlib.suppress(OSError):  # one that has died is found below
                worker.connection.send((command, argument(worker)))
        for worker in self._workers:
            try:
                done, answer = worker.connection.recv()
            except (EOFError, OSError):
                how = worker.death()
                self.close()
                raise ZprlError(
                    f"the process of {_named(worker.worlds)} of {self._what} {how}, perhaps for want of memory; "
                    "run the command again, with fewer worlds (--num_envs) or processes (env.workers) if that is so."
                ) from None
            if not done:
                failures.append((worker, answer))
            answers.append(answer)
        if failures:
            worker, answer = failures[0]
            self.close()
            raise ZprlError(f"{_named(worker.worlds)} of {self._what} failed ({command}): {answer}.")
        return answers


class _Worker:
    """A process and the numbers of its worlds."""

    def __init__(self, worlds: range, memory: int) -> None:
        self.worlds = worlds
        ours, theirs = socket.socketpair()
        with theirs:
            program = _PROGRAM.format(path=sys.path, socket=theirs.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), memory),
                process_group=0,  # Ctrl-C at a terminal is not for it
            )
        self.connection = Connection(ours.detach())

    def dismiss(self) -> None:
        """Tell it to end, unless it has."""
        with contextlib.suppress(OSError):
            self.connection.send(("close", ()))
        self.connection.close()

    def await_end(self) -> None:
        """Wait until it has ended, and end it if that takes too long."""
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def death(self) -> str:
        """Return how it has died, as what a sentence says of it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.process.wait(_PATIENCE)
            return f"was killed ({signal.Signals(-status).name})" if status < 0 else f"has ended with status {status}"
        return "does not answer"


def _named(worlds: range) -> str:
    return f"world {worlds[0]}" if len(worlds) == 1 else f"worlds {worlds[0]} to {worlds[-1]}"
