# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Two arms in a plane reach for a target each, which only a camera sees: a vector environment of Gymnasium."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

PIXELS = 16
STEP = 0.1
"""Largest move of a control step in each direction [m]."""
RADIUS = 0.08
"""Largest distance of a hand from its target in an episode that succeeds [m]."""
LENGTH = 16
"""Longest episode [control steps]."""
HEIGHT = 0.2
"""Height of the hands [m]."""
LOW, HIGH = np.array([[0.0, 0.0], [0.5, 0.0]]), np.array([[0.5, 1.0], [1.0, 1.0]])
"""Where each arm and its target may be [m]: the left one in the left half of a square of one metre."""
CENTRES = (np.arange(PIXELS) + 0.5) / PIXELS


class TwoArms(VectorEnv):
    """N worlds, each with random numbers of its own. The state holds the hands' positions, the image the targets."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_fps": 10}

    def __init__(self, num_envs):
        self.num_envs = num_envs
        hand = spaces.Box(0.0, 1.0, (3,), np.float64)
        self.single_observation_space = spaces.Dict(
            {
                "policy": spaces.Dict({"left_hand": hand, "right_hand": hand}),
                "camera": spaces.Box(0, 255, (PIXELS, PIXELS, 3), np.uint8),
            }
        )
        self.single_action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.generators = [np.random.default_rng(world) for world in range(num_envs)]
        self.hands, self.targets = np.zeros((num_envs, 2, 2)), np.zeros((num_envs, 2, 2))
        self.images = np.zeros((num_envs, PIXELS, PIXELS, 3), dtype=np.uint8)
        self.time = np.zeros(num_envs, dtype=int)

    def reset(self, *, seed: Any = None, options=None):
        """Begin an episode in every world."""
        if seed is not None:
            self.generators = [np.random.default_rng(value) for value in seed]  # type: ignore[union-attr]
        self._begin(np.arange(self.num_envs))
        return self._observations(), {}

    def step(self, actions):
        """Move all hands, and begin new episodes where one has ended."""
        moves = STEP * np.clip(actions, -1.0, 1.0).reshape(-1, 2, 2)
        self.hands = np.clip(self.hands + moves, LOW, HIGH)
        self.time += 1
        success = (np.linalg.norm(self.hands - self.targets, axis=-1) < RADIUS).all(axis=-1)
        truncated = (self.time >= LENGTH) & ~success
        ended = np.flatnonzero(success | truncated)
        info = {"success": success}
        if len(ended):
            info["final_obs"], info["_final_obs"] = self._observations(), success | truncated
            self._begin(ended)
        return self._observations(), success.astype(float), success, truncated, info

    def _begin(self, worlds):
        draws = np.stack([self.generators[world].random((2, 2, 2)) for world in worlds])
        self.hands[worlds], self.targets[worlds] = (LOW + (HIGH - LOW) * draws[:, i] for i in range(2))
        self.time[worlds] = 0
        self.images[worlds] = picture(self.targets[worlds])

    def _observations(self):
        hands = np.concatenate([self.hands, np.full((self.num_envs, 2, 1), HEIGHT)], axis=-1)
        return {"policy": {"left_hand": hands[:, 0], "right_hand": hands[:, 1]}, "camera": self.images.copy()}


def picture(targets):
    """Return images (N, height, width, 3): a red spot at the left target, a green one at the right target."""
    spots = np.exp(-((targets[..., None] - CENTRES) ** 2) / (2 * 0.08**2))  # (N, target, axis, pixel)
    image = np.zeros((len(targets), PIXELS, PIXELS, 3), dtype=np.uint8)
    for arm in range(2):
        image[..., arm] = 255 * spots[:, arm, 1, :, None] * spots[:, arm, 0, None, :]
    return image
