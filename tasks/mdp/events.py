# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Event terms shared by all task families."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from isaaclab.managers import SceneEntityCfg
from isaaclab.utils.math import sample_uniform

from zprl.sim.isaaclab.randomization import sphere_radii

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv

DRAWS = 256
"""How often a place is drawn that is to keep a distance; the first that does is taken, or else the farthest."""


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
    position[:, asset_cfg.joint_ids] = drawn + sample_uniform(-spread, spread, drawn.shape, device=asset.device)
    limits = asset.data.soft_joint_pos_limits.torch[env_ids]
    position = position.clamp(limits[..., 0], limits[..., 1])
    velocity = torch.zeros_like(position)
    asset.write_joint_state_to_sim_index(position=position, velocity=velocity, env_ids=_rows(env_ids))


def reset_object_pose_uniform(
    env: ManagerBasedEnv,
    env_ids: torch.Tensor | slice,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    yaw_range: tuple[float, float],
    height: float,
    asset_cfg: SceneEntityCfg = SceneEntityCfg("object"),
    apart_from: SceneEntityCfg | None = None,
    least_distance: float = 0.0,
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
        apart_from: What the place keeps a distance from, or None. It must have been put to its own place before.
        least_distance: That distance of the centres in x and y [m].
    """
    asset = env.scene[asset_cfg.name]
    device = asset.device
    low, high = torch.tensor([x_range, y_range, yaw_range], device=device).unbind(dim=1)
    origins = env.scene.env_origins[env_ids]
    if apart_from is None:
        sample = sample_uniform(low, high, (len(origins), 3), device=device)
    else:
        # As many draws whatever comes of them, so that what is drawn next does not depend on it.
        draws = sample_uniform(low, high, (len(origins), DRAWS, 3), device=device)
        other = env.scene[apart_from.name].data.root_pos_w.torch[env_ids] - origins
        distance = (draws[..., :2] - other[:, None, :2]).norm(dim=-1)
        chosen = distance.clamp(max=least_distance).argmax(dim=1)  # the first of the largest
        sample = draws[torch.arange(len(origins), device=device), chosen]
    pose = torch.zeros(len(origins), 7, device=device)
    pose[:, :2], pose[:, 2] = sample[:, :2], height
    pose[:, :3] += origins
    half_yaw = 0.5 * sample[:, 2]
    pose[:, 5], pose[:, 6] = half_yaw.sin(), half_yaw.cos()
    _put_at_rest(asset, pose, env_ids)


def reset_object_beside(
    env: ManagerBasedEnv,
    env_ids: torch.Tensor | slice,
    offset: tuple[float, float, float],
    frame_cfg: SceneEntityCfg,
    asset_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> None:
    """Put the object at rest at a fixed place beside another one, which was put to its own place before.

    Args:
        env: The environment.
        env_ids: Environments to reset: indices, shape (n,), or a slice.
        offset: From the other object's centre to this one's, in the environment's axes [m].
        frame_cfg: The other object.
        asset_cfg: The object.
    """
    place = env.scene[frame_cfg.name].data.root_pos_w.torch[env_ids]
    pose = torch.zeros(len(place), 7, device=env.device)
    pose[:, :3] = place + torch.tensor(offset, device=env.device)
    pose[:, 6] = 1.0
    _put_at_rest(env.scene[asset_cfg.name], pose, env_ids)


def reset_object_tilted(
    env: ManagerBasedEnv,
    env_ids: torch.Tensor | slice,
    position: tuple[float, float, float],
    tilt: float,
    asset_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> None:
    """Put the object at rest at a fixed place, turned by drawn angles about its x axis and then about its y axis.

    Args:
        env: The environment.
        env_ids: Environments to reset: indices, shape (n,), or a slice.
        position: The object's centre in the environment's frame [m].
        tilt: Largest size of either angle [rad]; with zeros its z axis is the vertical.
        asset_cfg: The object.
    """
    origins = env.scene.env_origins[env_ids]
    half = 0.5 * sample_uniform(-tilt, tilt, (len(origins), 2), device=env.device)
    (sin_x, sin_y), (cos_x, cos_y) = half.sin().unbind(dim=1), half.cos().unbind(dim=1)
    pose = torch.empty(len(origins), 7, device=env.device)
    pose[:, :3] = origins + torch.tensor(position, device=env.device)
    pose[:, 3:] = torch.stack([sin_x * cos_y, cos_x * sin_y, sin_x * sin_y, cos_x * cos_y], dim=1)
    _put_at_rest(env.scene[asset_cfg.name], pose, env_ids)


def reset_object_to_default(
    env: ManagerBasedEnv,
    env_ids: torch.Tensor | slice,
    spread: float,
    asset_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> None:
    """Put the object at rest near the place that its configuration gives it, in the orientation from there.

    Args:
        env: The environment.
        env_ids: Environments to reset: indices, shape (n,), or a slice.
        spread: Largest distance from that place in x and in y [m].
        asset_cfg: The object.
    """
    asset = env.scene[asset_cfg.name]
    pose = asset.data.default_root_pose.torch[env_ids].clone()
    pose[:, :3] += env.scene.env_origins[env_ids]
    pose[:, :2] += sample_uniform(-spread, spread, (len(pose), 2), device=env.device)
    _put_at_rest(asset, pose, env_ids)


def reset_fixture_in_box(
    env: ManagerBasedEnv,
    env_ids: torch.Tensor | slice,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    asset_cfg: SceneEntityCfg,
) -> None:
    """Put a hinged thing, with its joints at rest where they are by default, somewhere in a box, and do not turn it.

    Args:
        env: The environment.
        env_ids: Environments to reset: indices, shape (n,), or a slice.
        low: Lower corner of the box, in the environment's frame [m].
        high: Upper corner of the box [m].
        asset_cfg: The thing.
    """
    asset = env.scene[asset_cfg.name]
    lowest, highest = torch.tensor([low, high], device=env.device)
    pose = asset.data.default_root_pose.torch[env_ids].clone()
    place = sample_uniform(lowest, highest, (len(pose), 3), device=env.device)
    pose[:, :3] = env.scene.env_origins[env_ids] + place
    position = asset.data.default_joint_pos.torch[env_ids].clone()
    asset.write_root_pose_to_sim_index(root_pose=pose, env_ids=_rows(env_ids))
    asset.write_joint_state_to_sim_index(position=position, velocity=torch.zeros_like(position), env_ids=_rows(env_ids))


def reset_sphere_in(
    env: ManagerBasedEnv,
    env_ids: torch.Tensor | slice,
    frame_cfg: SceneEntityCfg,
    asset_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> None:
    """Put a sphere at rest on what another thing stands on, inside of that, however large the sphere is in each world.

    Args:
        env: The environment, on ``physics=mujoco``.
        env_ids: Environments to reset: indices, shape (n,), or a slice.
        frame_cfg: The other thing, which was put to its own place before.
        asset_cfg: The sphere.
    """
    place = env.scene[frame_cfg.name].data.root_pos_w.torch[env_ids]
    pose = torch.zeros(len(place), 7, device=env.device)
    pose[:, :3] = place
    pose[:, 2] += sphere_radii(env, asset_cfg.name)[env_ids]
    pose[:, 6] = 1.0
    _put_at_rest(env.scene[asset_cfg.name], pose, env_ids)


def _put_at_rest(asset: Any, pose: torch.Tensor, env_ids: torch.Tensor | slice) -> None:
    """Give an object poses (n, 7) and no velocity."""
    # What follows from the state is marked as outdated once, with the pose.
    rows, velocity = _rows(env_ids), torch.zeros(len(pose), 6, device=pose.device)
    asset.write_root_velocity_to_sim_index(root_velocity=velocity, env_ids=rows, skip_forward=True)
    asset.write_root_pose_to_sim_index(root_pose=pose, env_ids=rows)


def _rows(env_ids: torch.Tensor | slice) -> wp.array | slice:
    """Return indices as Warp's, since Isaac Lab's assets compare them with a slice, over which tensors raise inside."""
    return env_ids if isinstance(env_ids, slice) else wp.from_torch(env_ids)
