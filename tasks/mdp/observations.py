# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Observation terms shared by all task families; poses are 9 numbers, position [m] and the 6D rotation of Zhou et al.

The 6D rotation (arXiv 1812.07035) is the first two columns of the rotation matrix: continuous, unlike quaternions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from isaaclab.managers import SceneEntityCfg
from isaaclab.utils.math import subtract_frame_transforms

from . import kernels

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv


def pose_in_root_frame(robot: Any, other: Any, body: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pose of another root in the robot's root frame: position [m] (N, 3), quaternion (x, y, z, w) (N, 4).

    Args:
        robot: Data of the robot.
        other: Data of the other asset.
        body: Index of a body of that asset, in the root's place.
    """
    if body is None:
        pos, quat = other.root_pos_w.torch, other.root_quat_w.torch
    else:
        pos, quat = other.body_link_pos_w.torch[:, body], other.body_link_quat_w.torch[:, body]
    return subtract_frame_transforms(robot.root_pos_w.torch, robot.root_quat_w.torch, pos, quat)


def body_pose_in_root_frame(
    env: ManagerBasedEnv, asset_cfg: SceneEntityCfg, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> torch.Tensor:
    """Pose of a body (plus offset [m]) in the robot's root frame, shape (num_envs, 9)."""
    data = env.scene[asset_cfg.name].data
    poses = [data.root_link_pose_w.warp, data.body_link_pose_w.warp]
    return _launched(data, kernels.body_pose, [*poses, _only_body(asset_cfg), offset], 9)


def object_pose_in_root_frame(
    env: ManagerBasedEnv,
    robot_cfg: SceneEntityCfg = SceneEntityCfg("robot"),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> torch.Tensor:
    """Pose of the object in the robot's root frame, shape (num_envs, 9)."""
    robot, other = (env.scene[cfg.name].data for cfg in (robot_cfg, object_cfg))
    return _launched(robot, kernels.root_pose, [robot.root_link_pose_w.warp, other.root_link_pose_w.warp], 9)


def object_position_in_root_frame(
    env: ManagerBasedEnv,
    robot_cfg: SceneEntityCfg = SceneEntityCfg("robot"),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> torch.Tensor:
    """Position of the object in the robot's root frame [m], shape (num_envs, 3)."""
    roots = [env.scene[cfg.name].data.root_link_pose_w.warp for cfg in (robot_cfg, object_cfg)]
    return _launched(env, kernels.root_position, roots, 3)


def object_axis_in_root_frame(
    env: ManagerBasedEnv,
    robot_cfg: SceneEntityCfg = SceneEntityCfg("robot"),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> torch.Tensor:
    """Direction of the object's z axis in the robot's root frame, a unit vector, shape (num_envs, 3)."""
    roots = [env.scene[cfg.name].data.root_link_pose_w.warp for cfg in (robot_cfg, object_cfg)]
    return _launched(env, kernels.root_axis, roots, 3)


def object_velocity_in_root_frame(
    env: ManagerBasedEnv,
    robot_cfg: SceneEntityCfg = SceneEntityCfg("robot"),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> torch.Tensor:
    """Velocity of the object along the robot's root axes: linear [m/s], then angular [rad/s], shape (num_envs, 6)."""
    robot, thing = (env.scene[cfg.name].data for cfg in (robot_cfg, object_cfg))
    inputs = [robot.root_link_pose_w.warp, thing.root_lin_vel_w.warp, thing.root_ang_vel_w.warp]
    return _launched(robot, kernels.root_velocity, inputs, 6)


def object_position_in_body_frame(
    env: ManagerBasedEnv,
    asset_cfg: SceneEntityCfg,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> torch.Tensor:
    """Position of the object seen from a body (plus offset), in that body's frame [m], shape (num_envs, 3)."""
    data = env.scene[asset_cfg.name].data
    object_pose = env.scene[object_cfg.name].data.root_link_pose_w.warp
    arguments = [data.body_link_pose_w.warp, _only_body(asset_cfg), offset, object_pose]
    return _launched(data, kernels.position_in_body_frame, arguments, 3)


def point_in_root_frame(
    env: ManagerBasedEnv,
    asset_cfg: SceneEntityCfg,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    robot_cfg: SceneEntityCfg = SceneEntityCfg("robot"),
) -> torch.Tensor:
    """Position of a body's point (offset [m] in its frame) in the robot's root frame [m], shape (num_envs, 3)."""
    robot, data = env.scene[robot_cfg.name].data, env.scene[asset_cfg.name].data
    arguments = [robot.root_link_pose_w.warp, data.body_link_pose_w.warp, _only_body(asset_cfg), offset]
    return _launched(data, kernels.point_position, arguments, 3)


def _only_body(asset_cfg: SceneEntityCfg) -> int:
    """Return the one body that is chosen, as a number of Python's, which Warp need not convert."""
    (body,) = asset_cfg.body_ids  # type: ignore[misc]
    return int(body)


def _launched(data: Any, kernel: Any, inputs: list[Any], size: int) -> torch.Tensor:
    """Return what a kernel says of each world, shape (num_envs, size).

    Args:
        data: Data of an asset, which knows the device at once; the environment looks it up in four places.
        kernel: The kernel.
        inputs: Its inputs, of which the first has one row per world.
        size: Numbers that it says of a world.
    """
    worlds = inputs[0].shape[0]
    out = torch.empty(worlds, size, device=data.device)
    wp.launch(kernel, worlds, inputs=inputs, outputs=[out], device=data.device)
    return out
