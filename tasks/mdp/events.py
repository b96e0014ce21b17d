# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Event terms shared by all task families."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import warp as wp

from isaaclab.managers import SceneEntityCfg
from isaaclab.utils.math import sample_uniform

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv


def reset_joints_around_default(
    env: ManagerBasedEnv,
    env_ids: torch.Tensor | slice,
    spread: float,
    asset_cfg: SceneEntityCfg = SceneEntityCfg("robot"),
) -> None:
    """Put a robot at rest in its default posture, some of its joints at a uniformly drawn distance from it.

    The root stays as it is, since moving the root of a fixed robot makes the physics engine rebuild its constants.

    Args:
        env: The environment.
        env_ids: Environments to reset: indices, shape (n,), or a slice.
        spread: Largest distance from the default position [rad or m].
        asset_cfg: The robot, and the joints that are not put exactly to their default.
    """
    asset = env.scene[asset_cfg.name]
    position = asset.data.default_joint_pos.torch[env_ids].clone()
    drawn = position[:, asset_cfg.joint_ids]
    position[:, asset_cfg.joint_ids] = drawn + sample_uniform(-spread, spread, drawn.shape, device=str(env.device))
    limits = asset.data.soft_joint_pos_limits.torch[env_ids]
    # What follows from the state is marked as outdated once, with the position.
    rows, velocity = _rows(env_ids), torch.zeros_like(position)
    asset.write_joint_velocity_to_sim_index(velocity=velocity, env_ids=rows, skip_forward=True)
    asset.write_joint_position_to_sim_index(position=position.clamp(limits[..., 0], limits[..., 1]), env_ids=rows)


def reset_object_pose_uniform(
    env: ManagerBasedEnv,
    env_ids: torch.Tensor | slice,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    yaw_range: tuple[float, float],
    height: float,
    asset_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> None:
    """Put the object at rest on the table at a uniformly drawn place and yaw.

    Args:
        env: The environment.
        env_ids: Environments to reset: indices, shape (n,), or a slice.
        x_range: Range of x in the environment's frame [m].
        y_range: Range of y in the environment's frame [m].
        yaw_range: Range of the yaw angle [rad].
        height: z of the object's centre [m].
        asset_cfg: The object.
    """
    asset, device = env.scene[asset_cfg.name], env.device
    low, high = torch.tensor([x_range, y_range, yaw_range], device=device).unbind(dim=1)
    origins = env.scene.env_origins[env_ids]
    sample = sample_uniform(low, high, (len(origins), 3), device=str(device))
    pose = torch.zeros(len(origins), 7, device=device)
    pose[:, :2], pose[:, 2] = sample[:, :2], height
    pose[:, :3] += origins
    half_yaw = 0.5 * sample[:, 2]
    pose[:, 5], pose[:, 6] = half_yaw.sin(), half_yaw.cos()
    # What follows from the state is marked as outdated once, with the pose.
    rows, velocity = _rows(env_ids), torch.zeros(len(origins), 6, device=device)
    asset.write_root_velocity_to_sim_index(root_velocity=velocity, env_ids=rows, skip_forward=True)
    asset.write_root_pose_to_sim_index(root_pose=pose, env_ids=rows)


def _rows(env_ids: torch.Tensor | slice) -> wp.array | slice:
    """Return indices as Warp's, since Isaac Lab's assets compare them with a slice, over which tensors raise inside."""
    return env_ids if isinstance(env_ids, slice) else wp.from_torch(env_ids)
