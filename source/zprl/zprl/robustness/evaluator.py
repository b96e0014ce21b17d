# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluation under a disturbance: of the signals between policy and environment, and of the world."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zprl.envs.chunk_loop import own
from zprl.envs.lazy_observations import replaced
from zprl.envs.task_env import Step, TaskEnv, episode_seed
from zprl.evaluation.rollout import Evaluator
from zprl.robustness.disturbances import Disturbance, Draws, Signal, require_disturbable
from zprl.robustness.disturbed_worlds import EVENT_MODE
from zprl.spec import Observations, TaskSpec


class DisturbedEnv:
    """An environment whose signals are disturbed; see :class:`zprl.envs.TaskEnv`.

    Args:
        env: The environment.
        spec: What the policy sees, whose state groups are disturbed; images never are.
    """

    def __init__(self, env: TaskEnv, spec: TaskSpec) -> None:
        self.env = env
        self.spec = env.spec
        self.num_envs, self.device = env.num_envs, env.device
        self.max_episode_length, self.staggers = env.max_episode_length, env.staggers
        self.tells_final_observations = False
        self.signal = Signal()
        """What stands between the worlds and the policy."""
        self.true_obs: Observations = {}
        """What the worlds showed before the step taken last, undisturbed and without images."""
        self._next: Observations = {}
        self.noiseless, self.close = env.noiseless, env.close
        self._disturbed = [group.name for group in spec.vectors]

    @property
    def elapsed(self) -> Tensor:
        """See :attr:`zprl.envs.TaskEnv.elapsed`."""
        return self.env.elapsed

    @elapsed.setter
    def elapsed(self, value: Tensor) -> None:
        self.env.elapsed = value

    def reset(self, seed: int | None = None) -> Observations:
        """See :meth:`zprl.envs.TaskEnv.reset`."""
        return self._observed(self.env.reset(seed))

    def reset_to(self, seeds: Sequence[int]) -> Observations:
        """See :meth:`zprl.envs.TaskEnv.reset_to`."""
        return self._observed(self.env.reset_to(seeds))

    def step(self, action: Tensor) -> Step:
        """See :meth:`zprl.envs.TaskEnv.step`."""
        self.signal.disturb(self.env)
        self.true_obs = self._next
        step = self.env.step(self.signal.act(action))
        return dataclasses.replace(step, observations=self._observed(step.observations), final_observations=None)

    def _observed(self, obs: Observations) -> Observations:
        self._next = own({group.name: obs[group.name] for group in self.spec.vectors})
        if not self._disturbed:
            return obs
        parts = [self._next[name] for name in self._disturbed]
        seen = self.signal.observe(torch.cat(parts, dim=1)).split([part.shape[1] for part in parts], dim=1)
        return replaced(obs, dict(zip(self._disturbed, seen, strict=True)))


class DisturbedEvaluator(Evaluator):
    """Evaluates policies on the evaluation's initial states under a disturbance.

    Args:
        env: The environment, made with the disturbance's configuration.
        spec: What the policy sees and does.
        execute_steps: Environment steps executed of each chunk.
        disturbance: The disturbance.
        targets: What of the task can be disturbed; see :meth:`Disturbance.start`.

    Raises:
        ZprlError: If the disturbance does not reach what the policy sees.
    """

    def __init__(
        self, env: TaskEnv, spec: TaskSpec, execute_steps: int, disturbance: Disturbance, targets: Any = None
    ) -> None:
        require_disturbable(disturbance, spec)
        self.disturbed = DisturbedEnv(env, spec)
        super().__init__(self.disturbed, execute_steps)
        self.spec = spec
        self.disturbance = disturbance
        self.targets = targets

    def begin_wave(self, seed: int, episodes: range) -> None:
        """Draw the disturbance of each episode."""
        steps = self.env.max_episode_length + self.execute_steps
        draws = Draws(seed, episodes, self.env.num_envs, steps, self.env.device)
        self.disturbed.signal = self.disturbance.start(draws, self.spec, self.targets)
        if self.disturbance.changes_world:
            self.disturbed.env.draw_events(EVENT_MODE, [episode_seed(seed + 3, e) for e in episodes])  # type: ignore[attr-defined]

    def measured(self, obs: Observations) -> Observations:
        """Return what was there, not what disturbed observations say."""
        return self.disturbed.true_obs
