# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Dense reward of the hammer task, from which its expert learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isaaclab.managers import SceneEntityCfg
from isaaclab.utils.math import quat_apply

from zprl.tasks import mdp

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


def nail_driving(
    env: ManagerBasedRLEnv,
    nail_cfg: SceneEntityCfg,
    nail_offset: tuple[float, float, float],
    hand_cfg: SceneEntityCfg,
    hand_offset: tuple[float, float, float],
    face: tuple[float, float, float],
    depth_cfg: SceneEntityCfg,
    home: float,
) -> torch.Tensor:
    """Reward of a hand at the hammer, of a hammer that is lifted and brought to the nail, and of a nail that goes in.

    Like the benchmark's (Rajeswaran et al., arXiv 1709.10087), with rates instead of its steps.

    Args:
        env: The environment.
        nail_cfg: The nail's body.
        nail_offset: The nail's head in its frame [m].
        hand_cfg: The palm.
        hand_offset: What its fingers close around, in its frame [m].
        face: The hammer's face in its frame [m].
        depth_cfg: The nail's joint.
        home: Depth of a nail that is home [m].

    Returns:
        Reward per second, shape (num_envs,).
    """
    hammer, robot = env.scene["object"].data, env.scene["robot"].data
    place = hammer.root_pos_w.torch
    away = (mdp.object_position_in_root_frame(env) - mdp.point_in_root_frame(env, hand_cfg, hand_offset)).norm(dim=1)
    height = place[:, 2] - env.scene.env_origins[:, 2] - 0.035
    held, lifted = (away < 0.12).float(), (height > 0.02).float()
    head = place + quat_apply(hammer.root_quat_w.torch, torch.tensor(face, device=env.device).expand(len(place), 3))
    nail = mdp.point_in_root_frame(env, nail_cfg, nail_offset) + robot.root_pos_w.torch
    miss = (head - nail).norm(dim=1)
    depth = mdp.joint_position(env, depth_cfg)
    reward = torch.exp(-away / 0.05) + held * (2.0 * lifted + 2.0 * (height / 0.1).clamp(0.0, 1.0))
    reward = reward + 3.0 * held * lifted * torch.exp(-miss / 0.1) + 10.0 * (depth / home).clamp(0.0, 1.0)
    return reward + 3.0 * (depth > home - 0.01).float() + 5.0 * (depth > home).float()
