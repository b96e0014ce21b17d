# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Logging that counts environment steps, and one progress line per iteration instead of a page."""

from __future__ import annotations

import contextlib
import copy
import io
from dataclasses import asdict
from typing import Any

import torch
from rsl_rl.utils.log_writer import LogWriter
from rsl_rl.utils.logger import Logger
from torch import Tensor

from zprl.evaluation.plots import LearningHistory
from zprl.utils import processes
from zprl.utils.files import naming_errors

_STATE = ("tot_timesteps", "tot_time", "recent", "diverged_worlds", "collection_seconds", "update_seconds")
"""What of a logger a checkpoint holds, beside its history."""


class EnvStepWriter(LogWriter):
    """TensorBoard scalars over environment steps.

    rsl_rl counts iterations and calls a learner's step a step; a chunk is ``execute_steps`` environment steps, and a
    plot over anything else cannot be compared.

    Args:
        log_dir: Folder of the event files.
        env_steps_per_iteration: Environment steps that one iteration takes.
        execute_steps: Environment steps per chunk.
        description: What runs, shown under TensorBoard's "Text".
        env_steps: Environment steps taken before. TensorBoard hides what a killed process wrote of later ones, which
            come again.
    """

    def __init__(
        self,
        log_dir: str,
        env_steps_per_iteration: int,
        execute_steps: int,
        description: str = "",
        env_steps: int = 0,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._log_dir = log_dir
        with naming_errors(log_dir):
            self._writer = SummaryWriter(log_dir=log_dir, flush_secs=10, purge_step=env_steps + 1)
            if description:
                self._writer.add_text("Run", description)
        self._per_iteration = env_steps_per_iteration
        self._execute_steps = execute_steps

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Write a scalar of iteration ``global_step`` (from 0) at the environment steps taken when it ends."""
        if tag.endswith("/time"):
            # Over seconds instead of iterations: tags without their own step axis would be mapped wrongly.
            return
        if tag == "Perf/total_fps":
            scalar_value = scalar_value * self._execute_steps
        with naming_errors(self._log_dir):
            self._writer.add_scalar(tag, float(scalar_value), (global_step + 1) * self._per_iteration)

    def flush(self) -> None:
        """Write what is buffered."""
        with naming_errors(self._log_dir):
            self._writer.flush()

    def stop(self) -> None:
        """Flush: training goes on in segments, and the writer lives as long as the process."""
        self.flush()


class SteeringLogger(Logger):
    """rsl_rl's logger with the history of the learning curve and a compact console.

    Of several processes only the first one writes, and what it writes is about the worlds of all of them.

    Args:
        env_steps_per_iteration: Environment steps that one iteration takes.
        success_window: Latest episodes over which the training success is averaged.
        **arguments: See :class:`rsl_rl.utils.logger.Logger`.
    """

    def __init__(self, env_steps_per_iteration: int, success_window: int = 512, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.env_steps_per_iteration = env_steps_per_iteration
        self.success_window = success_window
        self.history = LearningHistory()
        self.recent: list[tuple[int, int]] = []
        """(episodes, successes) of the latest iterations, as many as fill the window."""
        self.diverged_worlds = 0
        self.collection_seconds = 0.0
        self.update_seconds = 0.0
        self.pop_counts: Any = None
        """Returns (episodes, successes, diverged worlds) since its last call, of all processes."""
        self.on_iteration: Any = None
        """Called as (iteration, success rate or None, environment steps per second)."""
        self._finished: list[tuple[Tensor, Tensor, Tensor]] = []
        """For each step of the iteration: which worlds ended, and the reward and length of their episodes."""

    def init_logging_writer(self) -> None:
        """Open the event file once; learning runs in segments."""
        if self.writer is None:
            with contextlib.redirect_stdout(io.StringIO()):
                super().init_logging_writer()

    def begin_segment(self) -> None:
        """Forget the running episodes, which a reset has ended."""
        self.cur_reward_sum.zero_()
        self.cur_episode_length.zero_()

    def process_env_step(
        self, rewards: Tensor, dones: Tensor, extras: dict[str, Any], intrinsic_rewards: Tensor | None = None
    ) -> None:
        """Note a step; see :meth:`rsl_rl.utils.logger.Logger.process_env_step`.

        Unlike rsl_rl's, it asks the device for nothing: the episodes that end are picked out once per iteration.
        """
        if intrinsic_rewards is not None:  # its statistics are rsl_rl's own
            super().process_env_step(rewards, dones, extras, intrinsic_rewards)
            return
        # Without a writer they reach nobody, unless another process writes.
        if "log" in extras and (self.writer is not None or processes.count() > 1):
            self.ep_extras.append(extras["log"])
        self.cur_reward_sum.add_(rewards)
        self.cur_episode_length.add_(1)
        ended = dones > 0
        self._finished.append((ended, self.cur_reward_sum.clone(), self.cur_episode_length.clone()))
        self.cur_reward_sum.masked_fill_(ended, 0.0)
        self.cur_episode_length.masked_fill_(ended, 0.0)
        if len(self._finished) == self.cfg["num_steps_per_env"] and torch.device(self.device).type == "cuda":
            # rsl_rl takes the time now: the rollout's work must not be counted as the update's.
            torch.cuda.synchronize(self.device)

    def _gather(self, losses: dict[str, float]) -> dict[str, float]:
        """Hand the episodes and extras of all processes to rsl_rl's statistics; return the means of their losses."""
        rewards, lengths = [], []
        if self._finished:  # in the order in which they ended
            ended, reward_sums, steps = (torch.stack(values) for values in zip(*self._finished, strict=True))
            self._finished.clear()
            rewards, lengths = reward_sums[ended].tolist(), steps[ended].tolist()
        if processes.count() > 1:
            extras = [{name: float(value) for name, value in step.items()} for step in self.ep_extras]
            gathered = processes.gather((rewards, lengths, extras, losses))
            rewards, lengths, self.ep_extras = ([x for part in gathered for x in part[i]] for i in range(3))
            losses = {name: sum(part[3][name] for part in gathered) / len(gathered) for name in losses}
        self.rewbuffer.extend(rewards)
        self.lenbuffer.extend(lengths)
        return losses

    def log(
        self, it: int, *args: Any, collect_time: float, learn_time: float, loss_dict: dict[str, float], **kwargs: Any
    ) -> None:
        """Log an iteration; see :meth:`rsl_rl.utils.logger.Logger.log`."""
        self.collection_seconds += collect_time
        self.update_seconds += learn_time
        losses = self._gather(loss_dict)
        episodes, successes, diverged = self.pop_counts()
        self.diverged_worlds += diverged
        self.recent.append((episodes, successes))
        while len(self.recent) > 1 and sum(e for e, _ in self.recent[1:]) >= self.success_window:
            self.recent.pop(0)
        total = sum(e for e, _ in self.recent)
        rate = sum(s for _, s in self.recent) / total if total else None
        scalars = {"Worlds/diverged": float(self.diverged_worlds)}
        if rate is not None:
            scalars["Train/success_rate"] = rate
            self.history.steps.append((it + 1) * self.env_steps_per_iteration)
            self.history.minutes.append((self.collection_seconds + self.update_seconds) / 60.0)
            self.history.training_success.append(rate)
        if self.writer is not None:
            for tag, value in scalars.items():
                self.writer.add_scalar(tag, value, it)
        with contextlib.redirect_stdout(io.StringIO()):
            super().log(it, *args, collect_time=collect_time, learn_time=learn_time, loss_dict=losses, **kwargs)
        self.ep_extras.clear()
        if self.on_iteration is not None:
            self.on_iteration(it, rate, self.env_steps_per_iteration / (collect_time + learn_time))

    def state(self) -> dict[str, Any]:
        """Return what a continued run needs."""
        return {**{name: copy.copy(getattr(self, name)) for name in _STATE}, "history": asdict(self.history)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        for name in _STATE:
            setattr(self, name, copy.copy(state[name]))
        self.history = LearningHistory.of(copy.deepcopy(state["history"]))
