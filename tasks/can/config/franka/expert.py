# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Franka can task."""

from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.can.can_env_cfg import CAN_HEIGHT, FLOOR
from zprl.tasks.experts import ArmWaypointsCfg, ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg

TARGET = (0.66, 0.45)
"""Where in the quarter the can is put, within the arm's reach [m]."""


def _carry(**settings: Any) -> WaypointCfg:
    return WaypointCfg(gripper_open=False, biased=False, grasped="object", retry_from=0, **settings)


@configclass
class CanExpertCfg(WaypointExpertCfg):
    """Above the can, down, close, up, over the quarter, down, open, up; and again if the can slips away."""

    arms = [
        ArmWaypointsCfg(
            waypoints=[
                WaypointCfg(frame="object", pos=(0.0, 0.0, 0.12), yaw=None, tolerance=0.02),
                WaypointCfg(frame="object", yaw=None, tolerance=0.012, max_speed=0.7),
                WaypointCfg(gripper_open=False, tolerance=0.05, hold_steps=6, biased=False),
                _carry(pos=(0.0, 0.0, 0.22), tolerance=0.03),
                _carry(frame="robot", pos=(*TARGET, FLOOR + 0.22), yaw=None, tolerance=0.02),
                _carry(frame="robot", pos=(*TARGET, FLOOR + CAN_HEIGHT / 2 + 0.015), yaw=None, max_speed=0.7),
                WaypointCfg(tolerance=0.05, hold_steps=4, biased=False),
                WaypointCfg(pos=(0.0, 0.0, 0.2), biased=False),
            ]
        )
    ]
    mixed = ExpertNoiseCfg(action_std=0.2, position_bias=0.013, yaw_bias=0.2, speed_range=(0.8, 1.2))
    noise_scale = 0.8
