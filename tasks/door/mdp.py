# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Dense reward of the door task, from which its expert learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isaaclab.managers import SceneEntityCfg

from zprl.tasks import mdp

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


def door_opening(
    env: ManagerBasedRLEnv,
    asset_cfg: SceneEntityCfg,
    offset: tuple[float, float, float],
    hand_cfg: SceneEntityCfg,
    hand_offset: tuple[float, float, float],
    hinge_cfg: SceneEntityCfg,
    latch_cfg: SceneEntityCfg,
    opened: float,
) -> torch.Tensor:
    """Reward of a hand at the lever, of a lever that turns and of a door that opens.

    Like the benchmark's (Rajeswaran et al., arXiv 1709.10087), with rates instead of some of its steps.

    Args:
        env: The environment.
        asset_cfg: The lever's body.
        offset: The lever's end in its frame [m].
        hand_cfg: The palm.
        hand_offset: What its fingers close around, in its frame [m].
        hinge_cfg: The door's hinge.
        latch_cfg: The latch's.
        opened: Angle of an open door [rad].

    Returns:
        Reward per second, shape (num_envs,).
    """
    handle = mdp.point_in_root_frame(env, asset_cfg, offset)
    away = (handle - mdp.point_in_root_frame(env, hand_cfg, hand_offset)).norm(dim=1)
    hinge, latch = mdp.joint_position(env, hinge_cfg), mdp.joint_position(env, latch_cfg)
    reward = 0.5 * torch.exp(-away / 0.1) - 0.5 * away + (latch / 1.6).clamp(0.0, 1.0)
    reward = reward + (hinge > 0.05).float() + 4.0 * hinge / 1.57
    for angle, bonus in ((0.2, 2.0), (1.0, 3.0), (opened, 5.0)):
        reward = reward + bonus * (hinge > angle).float()
    return reward
