# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What counts as an egg that has been turned over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isaaclab.managers import SceneEntityCfg
from isaaclab.utils.math import quat_apply

from zprl.tasks import mdp

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


class EggTurnedOver(mdp.HeldTerm):
    """Whether an egg has lain in a pan upside down for a while, flat, still, and left alone by what has turned it."""

    def __call__(
        self,
        env: ManagerBasedRLEnv,
        seconds: float,
        size: float,
        pan: tuple[float, float, float],
        radius: float,
        height: float,
        least_turned: float,
        max_speed: float,
        max_turn: float,
        release_distance: float,
        asset_cfg: SceneEntityCfg,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
        object_cfg: SceneEntityCfg = SceneEntityCfg("object"),
    ) -> torch.Tensor:
        """Return where it has.

        Args:
            env: The environment.
            seconds: How long [s].
            size: Edge length of the egg [m], a square of three plates.
            pan: Middle of the pan's floor in the environment's frame [m].
            radius: Largest distance of a corner of a plate from the pan's axis [m].
            height: Largest height of one over the pan's floor [m].
            least_turned: Least cosine of the angle between a plate's lower side and the vertical.
            max_speed: Largest speed of a plate [m/s].
            max_turn: Largest angular speed of a plate [rad/s].
            release_distance: Least distance between the end effector and the egg's middle [m].
            asset_cfg: The body that the end effector is fixed to.
            offset: The end effector in its body's frame [m].
            object_cfg: The egg, whose first body is its middle plate.

        Returns:
            Boolean tensor, shape (num_envs,).
        """
        egg, hand = env.scene[object_cfg.name].data, env.scene[asset_cfg.name].data
        pos, quat = egg.body_link_pos_w.torch, egg.body_link_quat_w.torch
        x, y = quat[..., 0], quat[..., 1]
        turned = 2.0 * (x * x + y * y) - 1.0 > least_turned
        corners = egg_corners(pos, quat, size) - env.scene.env_origins[:, None] - pos.new_tensor(pan)
        inside = (corners[..., :2].norm(dim=2) < radius) & (corners[..., 2] < height)
        still = (egg.body_link_lin_vel_w.torch.norm(dim=2) < max_speed) & (
            egg.body_link_ang_vel_w.torch.norm(dim=2) < max_turn
        )
        (body,) = asset_cfg.body_ids  # type: ignore[misc]
        point = quat.new_tensor(offset).expand(len(pos), 3)
        effector = hand.body_link_pos_w.torch[:, body] + quat_apply(hand.body_link_quat_w.torch[:, body], point)
        away = (effector - pos[:, 0]).norm(dim=1) > release_distance
        return self.held(turned.all(dim=1) & inside.all(dim=1) & still.all(dim=1) & away, seconds)


def egg_corners(pos: torch.Tensor, quat: torch.Tensor, size: float) -> torch.Tensor:
    """Return the corners of an egg's plates, those of the middle one and the outer ones of the others.

    Args:
        pos: Places of its plates, the middle, the left and the right one, shape (n, 3, 3) [m]; the outer ones' are
            those of their hinges.
        quat: Their orientations, quaternions (x, y, z, w), shape (n, 3, 4).
        size: Edge length of the egg [m].

    Returns:
        Corners, shape (n, 8, 3) [m].
    """
    third, half = size / 3, size / 2
    places = [(0, side * third / 2) for side in (-1, 1)] + [(1, -third), (2, third)]
    plates = [plate for plate, _ in places for _ in (-1, 1)]
    points = pos.new_tensor([(x, y * half, 0.0) for _, x in places for y in (-1, 1)])
    return pos[:, plates] + quat_apply(quat[:, plates], points.expand(len(pos), -1, -1).contiguous())
