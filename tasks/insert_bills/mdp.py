# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What counts as a bill in its wallet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isaaclab.managers import SceneEntityCfg

from zprl.tasks import mdp

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


class BillHeldIn(mdp.HeldTerm):
    """Whether a bill has been in a shut wallet for a while, at rest, and every hand away from both."""

    def __call__(
        self,
        env: ManagerBasedRLEnv,
        seconds: float,
        low: tuple[float, float, float],
        high: tuple[float, float, float],
        max_angle: float,
        max_speed: float,
        release_distance: float,
        tab_place: tuple[float, float, float],
        bill_cfg: SceneEntityCfg,
        flap_cfg: SceneEntityCfg,
        asset_cfg: SceneEntityCfg,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> torch.Tensor:
        """Return where it has.

        Args:
            env: The environment.
            seconds: How long [s].
            low: Lower corner of the box that the centre of the bill's last strip is to be in, in the wallet's frame,
                which is never turned [m].
            high: Upper corner of that box [m].
            max_angle: Largest angle of the flap [rad].
            max_speed: Largest speed of the bill's first strip [m/s].
            release_distance: Least distance of an end effector from that strip and from the flap's tab [m].
            tab_place: The tab of the shut flap, in the wallet's frame [m].
            bill_cfg: The bill and its last strip.
            flap_cfg: The wallet and the hinge of its flap.
            asset_cfg: The bodies that the end effectors are fixed to.
            offset: The end effectors in their bodies' frames [m].

        Returns:
            Boolean tensor, shape (num_envs,).
        """
        bill, wallet = env.scene[bill_cfg.name].data, env.scene[flap_cfg.name].data
        frame = wallet.root_pos_w.torch
        corners = torch.tensor([low, high], device=env.device)
        there = bill.body_link_pos_w.torch[:, bill_cfg.body_ids].squeeze(1) - frame
        inside = ((there > corners[0]) & (there < corners[1])).all(dim=1)
        places = torch.stack([bill.root_pos_w.torch, frame + torch.tensor(tab_place, device=env.device)], dim=1)
        hands = mdp.end_effectors(env, asset_cfg, offset)
        away = (hands[:, :, None] - places[:, None]).norm(dim=3).flatten(1).amin(dim=1) > release_distance
        still = bill.root_lin_vel_w.torch.norm(dim=1) < max_speed
        return self.held(inside & away & still & (mdp.joint_position(env, flap_cfg) < max_angle), seconds)
