# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Franka box-close task."""

import math
from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.box_close.box_close_env_cfg import BOX_HEIGHT, HANDLE
from zprl.tasks.experts import ArmWaypointsCfg, ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg

X, Y, Z = HANDLE


def _carry(**settings: Any) -> WaypointCfg:
    return WaypointCfg(gripper_open=False, biased=False, grasped="object", **settings)


@configclass
class BoxCloseExpertCfg(WaypointExpertCfg):
    """Above the handle, down, close, all the way up, over the box, down, open, up; and again if the lid slips away."""

    arms = [
        ArmWaypointsCfg(
            waypoints=[
                WaypointCfg(frame="object", pos=(X, Y, Z + 0.10), tolerance=0.02),
                WaypointCfg(frame="object", pos=HANDLE, tolerance=0.01, max_speed=0.7, max_steps=40),
                WaypointCfg(gripper_open=False, tolerance=0.05, hold_steps=6, biased=False),
                _carry(pos=(0.0, 0.0, 0.15), tolerance=0.02),
                _carry(
                    frame="box",
                    pos=(0.0, 0.0, BOX_HEIGHT + 0.08),
                    carried="object",
                    tolerance=0.006,
                    yaw_tolerance=0.05,
                    max_steps=60,
                ),
                _carry(
                    frame="box",
                    pos=(0.0, 0.0, BOX_HEIGHT + 0.005),
                    carried="object",
                    tolerance=0.008,
                    max_speed=0.4,
                    max_steps=25,
                ),
                WaypointCfg(tolerance=0.05, hold_steps=4, biased=False),
                WaypointCfg(pos=(0.0, 0.0, 0.15), biased=False),
            ]
        )
    ]
    mixed = ExpertNoiseCfg(action_std=0.15, position_bias=0.01, yaw_bias=0.1, speed_range=(0.8, 1.2))
    noise_scale = 1.05
    yaw_symmetry = math.pi
    slip_distance = 0.13
