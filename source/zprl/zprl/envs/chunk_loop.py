# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The one loop that executes action chunks: in training, evaluation, collection, recordings and videos."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from zprl.envs.task_env import Step, TaskEnv
from zprl.spec import Observations

LARGEST = 1.0e9
"""Largest size of a reward or an observed value that a policy can act on and learn from: squares of larger ones, which
losses and running variances sum up, approach the end of float32. In SI units nothing that a robot meets comes near it.
"""


class ChunkLoop:
    """Executes chunks in all worlds, and knows which of them are still in the episode that counts.

    A world whose episode has ended gets the idle action until :meth:`begin` or :meth:`resume`, so that no stale action
    and no outcome crosses the boundary to the next episode. Nothing here waits for the device.

    Args:
        env: The environment.
        idles: Whether worlds that have ended idle; otherwise they go on with what they are given.
    """

    def __init__(self, env: TaskEnv, idles: bool = True) -> None:
        self.env = env
        self.obs: Observations = {}
        """What the next action is taken on; images are there between chunks only, since copies of them cost."""
        self.running = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        """Which worlds are in the episode that counts (N,)."""
        self.succeeded = torch.zeros_like(self.running)
        """Which of them ended in success (N,)."""
        self._idle = env.spec.idle_action(env.device).expand(env.num_envs, -1) if idles else None

    def begin(self, obs: Observations, count: int | None = None) -> None:
        """Begin with fresh episodes.

        Args:
            obs: What a reset returned.
            count: Number of worlds that count, the first ones; None for all.
        """
        self.obs = own(obs)
        # New tensors: those of a rollout in inference mode cannot be written outside of it.
        counts = self.env.num_envs if count is None else count
        self.running = torch.arange(self.env.num_envs, device=self.env.device) < counts
        self.succeeded = torch.zeros_like(self.running)

    def resume(self) -> None:
        """Count every world again: those that have ended are in a fresh episode."""
        self.running = torch.ones_like(self.running)

    def execute(self, chunk: Tensor) -> Iterator[tuple[int, Step, Tensor]]:
        """Execute a chunk action by action.

        Args:
            chunk: Actions (N, T, A).

        Yields:
            After each step its index in the chunk, what the worlds answered, and which worlds' episodes ended in it,
            shape (N,). Meanwhile :attr:`running` still counts those, as the step was theirs, and :attr:`obs` holds what
            the action was taken on.
        """
        for k in range(chunk.shape[1]):
            action = chunk[:, k]
            if self._idle is not None:
                action = torch.where(self.running[:, None], action, self._idle)
            step = self.env.step(action)
            ended = (step.terminated | step.truncated) & self.running
            yield k, step, ended
            self.succeeded = self.succeeded | (step.success & ended)
            self.running = self.running & ~ended
            between = k + 1 == chunk.shape[1]
            self.obs = own(step.observations if between else self._without_images(step.observations))

    def _without_images(self, obs: Observations) -> Observations:
        return {group.name: obs[group.name] for group in self.env.spec.groups if not group.is_image}


def own(obs: Observations) -> Observations:
    """Copy observations out of the environment's buffers, which the next step may overwrite."""
    return {name: value.clone() for name, value in obs.items()}


def is_usable(values: Tensor) -> Tensor:
    """Return which values are numbers no larger than :data:`LARGEST`."""
    return values.abs() <= LARGEST


def count_unusable(obs: Observations) -> Tensor:
    """Return how many observed values, those of depth images included, are none that a policy can act on."""
    counts = [(~is_usable(value)).sum() for value in obs.values() if value.is_floating_point()]
    return torch.stack(counts).sum() if counts else torch.tensor(0)
