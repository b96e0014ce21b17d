# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Franka place-orange task."""

from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.experts import ArmWaypointsCfg, ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg
from zprl.tasks.place_orange.place_orange_env_cfg import DEPTH, RADIUS, RIM


def _carry(**settings: Any) -> WaypointCfg:
    return WaypointCfg(gripper_open=False, biased=False, grasped="object", yaw=None, **settings)


@configclass
class PlaceOrangeExpertCfg(WaypointExpertCfg):
    """Above the orange, down, close, up, over the cup, down, open, up; and again if the orange slips away."""

    arms = [
        ArmWaypointsCfg(
            waypoints=[
                WaypointCfg(frame="object", pos=(0.0, 0.0, 0.10), yaw=None, tolerance=0.02),
                WaypointCfg(frame="object", yaw=None, tolerance=0.008, max_speed=0.6, max_steps=40),
                WaypointCfg(gripper_open=False, tolerance=0.05, hold_steps=6, biased=False),
                _carry(pos=(0.0, 0.0, 0.22), tolerance=0.03),
                _carry(frame="juicer", pos=(0.0, 0.0, RIM + 0.08), carried="object", tolerance=0.01, max_steps=60),
                _carry(
                    frame="juicer",
                    pos=(0.0, 0.0, RIM - DEPTH + RADIUS + 0.005),
                    carried="object",
                    tolerance=0.01,
                    max_speed=0.5,
                    max_steps=30,
                ),
                WaypointCfg(tolerance=0.05, hold_steps=4, biased=False),
                WaypointCfg(pos=(0.0, 0.0, 0.15), biased=False),
            ]
        )
    ]
    mixed = ExpertNoiseCfg(action_std=0.15, position_bias=0.01, yaw_bias=0.2, speed_range=(0.8, 1.2))
    noise_scale = 0.718
