# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Termination terms shared by all task families."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from isaaclab.managers import SceneEntityCfg

from . import kernels

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


def non_finite_state(env: ManagerBasedRLEnv, max_speed: float = 100.0) -> torch.Tensor:
    """Whether a world's state holds a NaN, an infinity or a speed that no robot has.

    A diverged world is reset alone.

    Args:
        env: The environment.
        max_speed: Largest credible joint or root speed [rad/s or m/s].

    Returns:
        Boolean tensor, shape (num_envs,).
    """
    worlds, device = env.num_envs, env.device
    diverged = torch.zeros(worlds, dtype=torch.bool, device=device)

    def mark(kernel: Any, *state: Any) -> None:
        inputs = [*(values.warp for values in state), max_speed]
        wp.launch(kernel, worlds, inputs=inputs, outputs=[diverged], device=device)

    for robot in (asset.data for asset in env.scene.articulations.values()):
        mark(kernels.mark_diverged_articulation, robot.root_link_pose_w, robot.joint_pos, robot.joint_vel)
    for thing in (asset.data for asset in env.scene.rigid_objects.values()):
        mark(kernels.mark_diverged_object, thing.root_link_pose_w, thing.root_lin_vel_w)
    return diverged


def object_lifted(
    env: ManagerBasedRLEnv, minimal_height: float, object_cfg: SceneEntityCfg = SceneEntityCfg("object")
) -> torch.Tensor:
    """Whether the object's centre is above a height over the table.

    Args:
        env: The environment.
        minimal_height: Height of the object's centre above the environment's origin [m].
        object_cfg: The object.

    Returns:
        Boolean tensor, shape (num_envs,).
    """
    height = env.scene[object_cfg.name].data.root_pos_w.torch[:, 2] - env.scene.env_origins[:, 2]
    return height > minimal_height
