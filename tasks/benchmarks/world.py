# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A benchmark's world as it is, with names for what it observes and with success as the benchmark counts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

GROUP = "policy"
"""The observation group of all that a benchmark's policy sees."""


class NamedWorld(gymnasium.Wrapper[dict[str, Any], np.ndarray, Any, np.ndarray]):
    """A benchmark's world, of which no number is changed but for the reward's scale.

    ``info["success"]`` becomes whether the goal has been reached in as many steps of the episode so far as the
    benchmark asks for; the episode goes on.

    Args:
        env: The benchmark's world, whose ``info["success"]`` says whether the goal is reached now.
        features: Names of the observation's parts, in order, with their sizes.
        steps_at_goal: Steps of an episode in which the goal has to be reached.
        reward_scale: What rewards are multiplied by.
    """

    def __init__(
        self, env: gymnasium.Env, features: Mapping[str, int], steps_at_goal: int = 1, reward_scale: float = 1.0
    ) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, Box) and env.observation_space.shape == (sum(features.values()),)
        ends = np.cumsum(list(features.values())).tolist()
        self._parts = {name: slice(end - size, end) for (name, size), end in zip(features.items(), ends, strict=True)}
        low, high, dtype = env.observation_space.low, env.observation_space.high, env.observation_space.dtype
        boxes: list[tuple[str, gymnasium.Space[Any]]] = [  # of a dictionary Gymnasium would sort the names
            (name, Box(low[part], high[part], dtype=dtype))  # type: ignore[arg-type]
            for name, part in self._parts.items()
        ]
        self.observation_space = Dict({GROUP: Dict(boxes)})
        self._steps_at_goal, self._reward_scale = steps_at_goal, reward_scale
        self._at_goal = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """See :meth:`gymnasium.Env.reset`."""
        self._at_goal = 0
        obs, info = self.env.reset(seed=seed, options=options)
        return self._named(obs), info

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """See :meth:`gymnasium.Env.step`."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._at_goal += bool(info["success"])
        info = {**info, "success": self._at_goal >= self._steps_at_goal}
        return self._named(obs), self._reward_scale * float(reward), terminated, truncated, info

    def _named(self, obs: Any) -> dict[str, Any]:
        return {GROUP: {name: obs[part] for name, part in self._parts.items()}}
