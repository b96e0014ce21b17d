# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What runs in a worker's process. It imports neither torch nor a simulator but that of its worlds.

The process ends when it is told to, or when whoever it works for is gone, however that came about.
"""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

import gymnasium

from zprl.sim.workers.memory import SharedRows, write_row

SUCCESS_KEY = "success"
"""Where a world's ``info`` says whether it has succeeded."""


def main(socket: int) -> None:
    """Serve a :class:`zprl.sim.workers.WorkerVectorEnv` until it closes.

    Args:
        socket: Descriptor of this end of the connection to it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what Ctrl-C means is for whoever this works for to say
    connection = Connection(socket)
    try:
        _serve(connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        connection.close()
        sys.stdout.flush()
        os._exit(0)  # nothing is left to be saved, and libraries take their time


def _serve(connection: Connection) -> None:
    worlds: Worlds | None = None
    while True:
        command, argument = connection.recv()
        if command == "close":
            return
        try:
            if command == "make":
                worlds, result = Worlds(*argument), None
            else:
                assert worlds is not None
                result = getattr(worlds, command)(*argument)
        except Exception as error:  # whatever a world raises is told, and said by whoever asked
            connection.send((False, f"{type(error).__name__}: {error}"))
        else:
            connection.send((True, result))


class Worlds:
    """Some of a vector environment's worlds.

    Args:
        make: Makes a world; its arguments are ``arguments``.
        arguments: By name.
        first: Number of the first world.
        last: Number of the last one, which is not of these.
        memory: Arguments of :class:`zprl.sim.workers.memory.SharedRows`.
    """

    def __init__(self, make: Any, arguments: dict[str, Any], first: int, last: int, memory: tuple[Any, ...]) -> None:
        self._rows = SharedRows(*memory)
        self._numbers = range(first, last)
        self._worlds: list[gymnasium.Env] = [make(**arguments) for _ in self._numbers]

    def reset(self, seeds: list[int] | None) -> None:
        """Begin an episode in every world, each from its seed, or going on with its own random numbers."""
        for row, (number, world) in enumerate(zip(self._numbers, self._worlds, strict=True)):
            obs, _ = world.reset(seed=None if seeds is None else seeds[row])
            write_row(self._rows.obs, number, obs)

    def step(self) -> None:
        """Do a step in every world, and begin a new episode where one has ended."""
        rows = self._rows
        for number, world in zip(self._numbers, self._worlds, strict=True):
            # Copied, because a world may keep what it is given.
            obs, reward, terminated, truncated, info = world.step(rows.action[number].copy())
            rows.reward[number], rows.terminated[number], rows.truncated[number] = reward, terminated, truncated
            rows.told[number] = SUCCESS_KEY in info
            rows.success[number] = bool(info.get(SUCCESS_KEY, False))
            if terminated or truncated:
                write_row(rows.final, number, obs)
                obs, _ = world.reset()
            write_row(rows.obs, number, obs)

    def call(self, name: str, arguments: tuple[Any, ...]) -> list[Any]:
        """Return what a method of every world returns, or its attribute of that name."""
        found = [world.get_wrapper_attr(name) for world in self._worlds]
        return [value(*arguments) if callable(value) else value for value in found]
