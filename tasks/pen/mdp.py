# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Dense reward of the pen task, from which its expert learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isaaclab.managers import SceneEntityCfg

from zprl.tasks import mdp

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


def pen_pointing(
    env: ManagerBasedRLEnv, position: tuple[float, float, float], distance: float, alignment: float
) -> torch.Tensor:
    """Reward of a pen that stays where it is and turns where it is to point.

    Like the benchmark's, with rates instead of steps of 10 and 50 where the pen is near: the direction counts all the
    time, and the more the closer it is.

    Args:
        env: The environment.
        position: Place that the pen is to stay at, in the environment's frame [m].
        distance: Distance from there up to which it may be right [m].
        alignment: Cosine of the direction's error from which it is right.

    Returns:
        Reward per second, shape (num_envs,).
    """
    miss, cosine = mdp.axis_errors(env, position, SceneEntityCfg("target"))
    there = (miss < distance).float()
    reward = 2.0 * cosine - 4.0 * miss + 2.0 * torch.exp((cosine - 1.0) / 0.1) * (miss < 4.0 / 3.0 * distance).float()
    return reward + 2.0 * there * (cosine > 0.9).float() + 4.0 * there * (cosine > alignment).float()
