# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Franka push-wall task."""

import math
from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.experts import ArmWaypointsCfg, ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg
from zprl.tasks.push_wall.push_wall_env_cfg import PUCK_HEIGHT, WALL

HEIGHT = PUCK_HEIGHT / 2 + 0.002
"""Height of the hand, whose finger tips stay off the table [m]."""

PASSAGE = 0.15
"""Where the hand, which is 0.2 m wide, passes the wall, whose end is at y = 0.02 m [m]."""


def _drag(**settings: Any) -> WaypointCfg:
    """Return a waypoint close over the table with the puck between the fingers."""
    return WaypointCfg(
        gripper_open=False,
        biased=False,
        yaw=None,
        grasped="object",
        max_speed=0.45,
        tolerance=0.02,
        max_steps=80,
        **settings,
    )


@configclass
class PushWallExpertCfg(WaypointExpertCfg):
    """Above the puck, down, close, aside, past the wall, to the goal, open, up; and again if the puck slips away."""

    arms = [
        ArmWaypointsCfg(
            waypoints=[
                WaypointCfg(frame="object", pos=(0.0, 0.0, 0.10), tolerance=0.02),
                WaypointCfg(frame="object", pos=(0.0, 0.0, 0.002), tolerance=0.005, max_speed=0.7, max_steps=40),
                WaypointCfg(gripper_open=False, tolerance=0.05, hold_steps=6, biased=False),
                _drag(frame="robot", pos=(0.45, PASSAGE, HEIGHT)),
                _drag(frame="robot", pos=(WALL[0] + 0.06, PASSAGE, HEIGHT)),
                _drag(frame="goal", pos=(0.0, 0.0, HEIGHT)),
                WaypointCfg(tolerance=0.05, hold_steps=4, biased=False),
                WaypointCfg(pos=(0.0, 0.0, 0.15), biased=False),
            ]
        )
    ]
    mixed = ExpertNoiseCfg(action_std=0.15, position_bias=0.013, yaw_bias=0.2, speed_range=(0.8, 1.2))
    noise_scale = 0.52
    yaw_symmetry = math.pi / 4
