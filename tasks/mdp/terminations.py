# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Termination terms shared by all task families."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from isaaclab.managers import ManagerTermBase, SceneEntityCfg
from isaaclab.utils.math import quat_apply, quat_apply_inverse

from . import kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def object_placed(
    env: ManagerBasedRLEnv,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    release_distance: float,
    max_speed: float,
    asset_cfg: SceneEntityCfg,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
    frame_cfg: SceneEntityCfg | None = None,
    grasp_point: tuple[float, float, float] = (0.0, 0.0, 0.0),
    least_upright: float = -1.0,
) -> torch.Tensor:
    """Whether the object lies at rest where it belongs, and every hand is away from it.

    Args:
        env: The environment.
        low: Lower corner of the box that the object's centre must be in [m].
        high: Upper corner of that box [m].
        release_distance: Least distance between an end effector and the grasp point [m].
        max_speed: Largest speed of the object [m/s].
        asset_cfg: The body that the end effector is fixed to, or the bodies that those of several arms are.
        offset: The end effector in its body's frame [m].
        object_cfg: The object.
        frame_cfg: The scene entity in whose frame the box is, or None for the environment's frame.
        grasp_point: Where the object is held, in its own frame [m].
        least_upright: Least cosine of the angle between the object's z axis and the vertical.

    Returns:
        Boolean tensor, shape (num_envs,).
    """
    thing = env.scene[object_cfg.name].data
    position = thing.root_pos_w.torch
    if frame_cfg is None:
        there = position - env.scene.env_origins
    else:
        frame = env.scene[frame_cfg.name].data
        there = quat_apply_inverse(frame.root_quat_w.torch, position - frame.root_pos_w.torch)
    corners = torch.tensor([low, high], device=env.device)
    inside = ((there > corners[0]) & (there < corners[1])).all(dim=1)
    held = _point(position, thing.root_quat_w.torch, grasp_point)
    away = (end_effectors(env, asset_cfg, offset) - held[:, None]).norm(dim=2).amin(dim=1) > release_distance
    x, y = thing.root_quat_w.torch[:, :2].unbind(dim=1)
    upright = 1.0 - 2.0 * (x * x + y * y) >= least_upright
    return inside & away & upright & (thing.root_lin_vel_w.torch.norm(dim=1) < max_speed)


def objects_placed(
    env: ManagerBasedRLEnv,
    places: dict[str, dict[str, Any]],
    max_speed: float,
    asset_cfg: SceneEntityCfg,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> torch.Tensor:
    """Whether several objects lie at rest, each where it belongs, and every hand is away from all of them.

    Args:
        env: The environment.
        places: For each object, by its name in the scene, where it belongs: :func:`object_placed`'s ``low``, ``high``,
            ``release_distance`` and what else differs among the objects.
        max_speed: Largest speed of an object [m/s].
        asset_cfg: The bodies that the end effectors are fixed to.
        offset: The end effectors in their bodies' frames [m].

    Returns:
        Boolean tensor, shape (num_envs,).
    """
    hands: dict[str, Any] = {"asset_cfg": asset_cfg, "offset": offset}
    placed = [
        object_placed(env, max_speed=max_speed, object_cfg=SceneEntityCfg(name), **hands, **place)
        for name, place in places.items()
    ]
    return torch.stack(placed).all(dim=0)


def _point(pos: torch.Tensor, quat: torch.Tensor, offset: tuple[float, float, float]) -> torch.Tensor:
    """Return a point fixed to bodies at positions (n, 3) and orientations (n, 4), shape (n, 3) [m]."""
    return pos + quat_apply(quat, torch.tensor(offset, device=pos.device).expand(len(pos), 3))


def object_within(
    env: ManagerBasedRLEnv,
    distance: float,
    target_cfg: SceneEntityCfg,
    release_distance: float,
    max_speed: float,
    asset_cfg: SceneEntityCfg,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> torch.Tensor:
    """Whether the object lies at rest near a target, in x and y, and every hand is away from it.

    Args:
        env: The environment.
        distance: Largest distance from the target [m].
        target_cfg: The target.
        release_distance: Least distance between an end effector and the object's centre [m].
        max_speed: Largest speed of the object [m/s].
        asset_cfg: The body that the end effector is fixed to, or the bodies that those of several arms are.
        offset: The end effector in its body's frame [m].
        object_cfg: The object.

    Returns:
        Boolean tensor, shape (num_envs,).
    """
    thing, target = env.scene[object_cfg.name].data, env.scene[target_cfg.name].data
    position = thing.root_pos_w.torch
    near = (position - target.root_pos_w.torch)[:, :2].norm(dim=1) <= distance
    away = (end_effectors(env, asset_cfg, offset) - position[:, None]).norm(dim=2).amin(dim=1) > release_distance
    return near & away & (thing.root_lin_vel_w.torch.norm(dim=1) < max_speed)


class HeldTerm(ManagerTermBase):
    """A term that is true once something has been so for a while without a break."""

    def __init__(self, cfg: Any, env: ManagerBasedRLEnv) -> None:
        super().__init__(cfg, env)
        self._steps = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)

    def reset(self, env_ids: Sequence[int] | torch.Tensor | slice | None = None) -> None:  # type: ignore[override]
        """See :class:`isaaclab.managers.ManagerTermBase`."""
        self._steps[slice(None) if env_ids is None else env_ids] = 0

    def held(self, now: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return where it has been so for a time, shape (num_envs,).

        Args:
            now: Where it is so in this control step, shape (num_envs,).
            seconds: The time [s].
        """
        # In place: whatever is made in inference mode could not be reset outside of it.
        self._steps.add_(1).mul_(now)
        return self._steps >= round(seconds / self._env.step_dt)


class AxisHeldAt(HeldTerm):
    """Whether an object has been at a place, with its z axis along another one's, for a while."""

    def __call__(
        self,
        env: ManagerBasedRLEnv,
        seconds: float,
        position: tuple[float, float, float],
        distance: float,
        alignment: float,
        target_cfg: SceneEntityCfg,
        object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
    ) -> torch.Tensor:
        """Return where it has.

        Args:
            env: The environment.
            seconds: How long [s].
            position: The place in the environment's frame [m].
            distance: Largest distance of the object's centre from it [m].
            alignment: Least cosine of the angle between the two axes.
            target_cfg: The other thing.
            object_cfg: The object.

        Returns:
            Boolean tensor, shape (num_envs,).
        """
        miss, cosine = axis_errors(env, position, target_cfg, object_cfg)
        return self.held((miss < distance) & (cosine > alignment), seconds)


class JointHeldBeyond(HeldTerm):
    """Whether a joint has been beyond a position for a while."""

    def __call__(
        self, env: ManagerBasedRLEnv, seconds: float, position: float, asset_cfg: SceneEntityCfg
    ) -> torch.Tensor:
        """Return where it has.

        Args:
            env: The environment.
            seconds: How long [s].
            position: The position [rad or m].
            asset_cfg: The thing and its joint.

        Returns:
            Boolean tensor, shape (num_envs,).
        """
        return self.held(joint_position(env, asset_cfg) >= position, seconds)


def joint_position(env: ManagerBasedRLEnv, asset_cfg: SceneEntityCfg) -> torch.Tensor:
    """Return the position of the one joint that is chosen [rad or m], shape (num_envs,)."""
    # Of a thing with one joint, Isaac Lab makes a slice of it.
    return env.scene[asset_cfg.name].data.joint_pos.torch[:, asset_cfg.joint_ids].squeeze(1)


def axis_errors(
    env: ManagerBasedRLEnv,
    position: tuple[float, float, float],
    target_cfg: SceneEntityCfg,
    object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how far an object is from a place [m], and the cosine of the angle between its z axis and another's.

    Args:
        env: The environment.
        position: The place in the environment's frame [m].
        target_cfg: The thing whose z axis it is compared with.
        object_cfg: The object.
    """
    thing, target = env.scene[object_cfg.name].data, env.scene[target_cfg.name].data
    there = thing.root_pos_w.torch - env.scene.env_origins - torch.tensor(position, device=env.device)
    axes = [_point(torch.zeros_like(there), data.root_quat_w.torch, (0.0, 0.0, 1.0)) for data in (thing, target)]
    return there.norm(dim=1), (axes[0] * axes[1]).sum(dim=1)


def end_effectors(
    env: ManagerBasedRLEnv, asset_cfg: SceneEntityCfg, offset: tuple[float, float, float]
) -> torch.Tensor:
    """Return points fixed to bodies, each at the same place in its body, shape (num_envs, bodies, 3) [m]."""
    data, bodies = env.scene[asset_cfg.name].data, asset_cfg.body_ids
    pos, quat = data.body_link_pos_w.torch[:, bodies], data.body_link_quat_w.torch[:, bodies]
    return pos + quat_apply(quat, torch.tensor(offset, device=pos.device).expand_as(pos))
