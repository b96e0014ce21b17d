# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Franka square task."""

import math
from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.experts import ArmWaypointsCfg, ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg
from zprl.tasks.square.square_env_cfg import HANDLE, PEG, PEG_TOP, TABLE


def _bring(height: float, **settings: Any) -> WaypointCfg:
    """Return a waypoint of the nut, not of the hand, at a height over the peg, at one of the four yaws that fit."""
    return WaypointCfg(
        frame="robot",
        pos=(*PEG, height),
        carried="object",
        yaw_symmetry=math.pi / 2,
        gripper_open=False,
        biased=False,
        grasped="object",
        **settings,
    )


@configclass
class SquareExpertCfg(WaypointExpertCfg):
    """Above the handle, down, close, up, over the peg, down, open, up; and again if the nut slips away."""

    arms = [
        ArmWaypointsCfg(
            waypoints=[
                WaypointCfg(frame="object", pos=(HANDLE[0], 0.0, 0.10), tolerance=0.015, yaw_tolerance=0.1),
                WaypointCfg(frame="object", pos=HANDLE, tolerance=0.008, max_speed=0.6, max_steps=40),
                WaypointCfg(gripper_open=False, tolerance=0.05, hold_steps=6, biased=False),
                WaypointCfg(pos=(0.0, 0.0, 0.2), gripper_open=False, tolerance=0.03, biased=False, grasped="object"),
                _bring(PEG_TOP + 0.05, tolerance=0.005, yaw_tolerance=0.05, hold_steps=2, max_steps=80),
                _bring(TABLE + 0.03, tolerance=0.015, max_speed=0.5, max_steps=30),
                WaypointCfg(tolerance=0.05, hold_steps=4, biased=False),
                WaypointCfg(pos=(0.0, 0.0, 0.2), biased=False),
            ]
        )
    ]
    mixed = ExpertNoiseCfg(action_std=0.15, position_bias=0.006, yaw_bias=0.05, speed_range=(0.8, 1.2))
    noise_scale = 0.938
    yaw_symmetry = math.pi
    slip_distance = 0.09
