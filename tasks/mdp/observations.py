# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Observation terms shared by all task families; poses are 9 numbers, position [m] and the 6D rotation of Zhou et al.

The 6D rotation (arXiv 1812.07035) is the first two columns of the rotation matrix: continuous, unlike quaternions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from isaaclab.managers import SceneEntityCfg
from isaaclab.utils.math import combine_frame_transforms, matrix_from_quat, subtract_frame_transforms

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv


def _pose_9d(pos: torch.Tensor, quat: torch.Tensor) -> torch.Tensor:
    """Concatenate a position (N, 3) [m] and a quaternion (N, 4) as position and 6D rotation, shape (N, 9)."""
    columns = matrix_from_quat(quat)[:, :, :2]
    return torch.cat([pos, columns.transpose(1, 2).reshape(len(pos), 6)], dim=1)


def pose_in_root_frame(robot: Any, other: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pose of another root in the robot's root frame: position [m] (N, 3), quaternion (x, y, z, w) (N, 4).

    Args:
        robot: Data of the robot.
        other: Data of the other asset.
    """
    return subtract_frame_transforms(
        robot.root_pos_w.torch, robot.root_quat_w.torch, other.root_pos_w.torch, other.root_quat_w.torch
    )


def _end_effector_pose(
    env: ManagerBasedEnv, asset_cfg: SceneEntityCfg, offset: tuple[float, float, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return position [m] and quaternion of a point fixed to the asset's only body, in the asset's root frame."""
    data = env.scene[asset_cfg.name].data
    pos, quat = subtract_frame_transforms(
        data.root_pos_w.torch,
        data.root_quat_w.torch,
        data.body_pos_w.torch[:, asset_cfg.body_ids][:, 0],
        data.body_quat_w.torch[:, asset_cfg.body_ids][:, 0],
    )
    return combine_frame_transforms(pos, quat, torch.tensor(offset, device=env.device).expand_as(pos))


def body_pose_in_root_frame(
    env: ManagerBasedEnv, asset_cfg: SceneEntityCfg, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> torch.Tensor:
    """Pose of a body (plus offset [m]) in the robot's root frame, shape (num_envs, 9)."""
    return _pose_9d(*_end_effector_pose(env, asset_cfg, offset))


def object_pose_in_root_frame(
    env: ManagerBasedEnv,
    robot_cfg: SceneEntityCfg = SceneEntityCfg("robot"),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> torch.Tensor:
    """Pose of the object in the robot's root frame, shape (num_envs, 9)."""
    return _pose_9d(*pose_in_root_frame(env.scene[robot_cfg.name].data, env.scene[object_cfg.name].data))


def object_position_in_body_frame(
    env: ManagerBasedEnv,
    asset_cfg: SceneEntityCfg,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> torch.Tensor:
    """Position of the object seen from a body (plus offset), in that body's frame [m], shape (num_envs, 3)."""
    pos, quat = _end_effector_pose(env, asset_cfg, offset)
    object_pos, _ = pose_in_root_frame(env.scene[asset_cfg.name].data, env.scene[object_cfg.name].data)
    return subtract_frame_transforms(pos, quat, object_pos)[0]
