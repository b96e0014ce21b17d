# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Franka lift task."""

from isaaclab.utils import configclass

from zprl.tasks.experts import ArmWaypointsCfg, ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg


@configclass
class LiftExpertCfg(WaypointExpertCfg):
    """Above the cube, down, close, up."""

    arms = [
        ArmWaypointsCfg(
            waypoints=[
                WaypointCfg(frame="object", pos=(0.0, 0.0, 0.10), tolerance=0.02),
                WaypointCfg(frame="object", pos=(0.0, 0.0, 0.0), tolerance=0.01, max_speed=0.7),
                WaypointCfg(gripper_open=False, tolerance=0.05, hold_steps=5, biased=False),
                WaypointCfg(pos=(0.0, 0.0, 0.25), gripper_open=False, max_speed=0.7, biased=False),
            ]
        )
    ]
    mixed = ExpertNoiseCfg(action_std=0.215, position_bias=0.013, yaw_bias=0.2, speed_range=(0.8, 1.2))
