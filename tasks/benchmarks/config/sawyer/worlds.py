# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The worlds of MetaWorld, each of whose episodes begins where its seed says."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np

from zprl.tasks.benchmarks.world import NamedWorld

FEATURES = {
    **{"hand_pos": 3, "gripper_opening": 1, "object_pos": 3, "object_quat": 4},
    **{"other_object": 7, "previous": 18, "goal_pos": 3},
}
"""What MetaWorld observes, in its order, with sizes; there is no other object, and what was seen before stands last."""


class SeededSawyer(gymnasium.Wrapper):
    """A world of MetaWorld, which draws its episodes by its own random numbers and ends them with success.

    MetaWorld leaves the seed of a reset unused, and its episodes go on after a success; its own evaluation ends them.

    Args:
        env: The world.
        dense: Whether the reward is a tenth of MetaWorld's instead of 1 for success.
    """

    def __init__(self, env: gymnasium.Env, dense: bool) -> None:
        super().__init__(env)
        self._inner: Any = env.unwrapped
        self._inner._freeze_rand_vec, self._inner.seeded_rand_vec = False, True
        self._dense = dense

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """See :meth:`gymnasium.Env.reset`."""
        if seed is not None:
            self._inner.seed(int(seed))
        return self.env.reset()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """See :meth:`gymnasium.Env.step`."""
        obs, reward, _, truncated, info = self.env.step(action)
        success = bool(info["success"])
        reward = float(reward) / 10.0 if self._dense else float(success)
        return obs, reward, success, bool(truncated) and not success, {"success": success}


class SawyerWorld(NamedWorld):
    """A world of MetaWorld with its script; see :class:`NamedWorld`.

    Args:
        env: A :class:`SeededSawyer`.
        script: MetaWorld's scripted policy of the task.
    """

    def __init__(self, env: SeededSawyer, script: Any) -> None:
        super().__init__(env, FEATURES)
        self._script = script
        self._seen = np.zeros(sum(FEATURES.values()))

    def scripted_action(self) -> np.ndarray:
        """Return what MetaWorld's script does now (4,), within the limits."""
        with warnings.catch_warnings():  # it says that its steps are cut off, which they are meant to be
            warnings.simplefilter("ignore")
            return np.clip(self._script.get_action(self._seen), -1.0, 1.0).astype(np.float32)

    def _named(self, obs: Any) -> dict[str, Any]:
        self._seen = np.array(obs, dtype=np.float64)
        return super()._named(obs)


def make_world(task: str, reward: str) -> SawyerWorld:
    """Make a world of MetaWorld.

    Args:
        task: "box-close" or "push-wall".
        reward: "sparse" or "dense".
    """
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE  # type: ignore[import-not-found]
    from metaworld.policies import ENV_POLICY_MAP  # type: ignore[import-not-found]

    env = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-v3-goal-observable"](seed=0)  # type: ignore[call-arg]
    return SawyerWorld(SeededSawyer(env, reward == "dense"), ENV_POLICY_MAP[f"{task}-v3"]())
