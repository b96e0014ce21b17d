# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the open-box task with two Franka Pandas."""

from __future__ import annotations

import math
from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.experts import ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg, left_and_right
from zprl.tasks.open_box.open_box_env_cfg import DEPTH, HEIGHT, PLATE, SHELF, TAB, TAB_PLACE, WIDTH

PRESSED = (0.02, (WIDTH - SHELF) / 2, HEIGHT)
"""Where the left hand presses, in the box's frame [m]; its end effector is 9.5 mm above its fingers' tips."""

PRESS = 0.02
"""How far below where it has come to rest the left hand strives to be [m]."""

HINGE_PLACE = (DEPTH / 2, -SHELF / 2, HEIGHT)
"""The middle of the hinge in the box's frame [m]."""

GRIP = (0.0, 0.0, -0.005)
"""Where the right hand holds the tab, in the tab's frame [m]."""

SHUT = (TAB_PLACE[0], TAB_PLACE[1], PLATE + TAB[2] / 2 + GRIP[2])
"""Where that is while the lid is shut, seen from the middle of the hinge [m]."""

TURN = 1.45
"""Angle by which the right hand goes on around the hinge [rad]: some of it is lost as the tab turns in the fingers."""


def _at(pos: tuple[float, float, float], above: float = 0.0, **settings: Any) -> WaypointCfg:
    x, y, z = pos
    return WaypointCfg(frame="object", pos=(x, y, z + above), **settings)


LEFT: dict[str, Any] = {"gripper_open": False, "yaw": math.pi / 2, "yaw_symmetry": math.pi}
"""A closed hand, out of the other one's way."""

LEFT_WAYPOINTS = [
    _at(PRESSED, 0.08, tolerance=0.02, yaw_tolerance=0.2, **LEFT),
    _at(PRESSED, 0.009, tolerance=0.012, max_speed=0.5, max_steps=30, hold_steps=2, barrier="held", **LEFT),
    WaypointCfg(pos=(0.0, 0.0, -PRESS), gripper_open=False, biased=False),
]

TAB_FRAME = "object/tab"

RIGHT_WAYPOINTS = [
    WaypointCfg(frame=TAB_FRAME, pos=(0.0, 0.0, 0.08), tolerance=0.02, yaw_tolerance=0.1, yaw_symmetry=math.pi),
    WaypointCfg(frame=TAB_FRAME, pos=GRIP, tolerance=0.008, max_speed=0.7, max_steps=40, yaw_symmetry=math.pi),
    WaypointCfg(tolerance=0.05, gripper_open=False, biased=False, hold_steps=5, barrier="held"),
    WaypointCfg(
        frame="object",
        pos=HINGE_PLACE,
        arc=(0.0, TURN, 0.0),
        arc_from=SHUT,
        grasped=TAB_FRAME,
        yaw=None,
        tilt=(0.0, 0.4 * TURN),
        gripper_open=False,
        biased=False,
        max_speed=0.6,
    ),
]


@configclass
class OpenBoxExpertCfg(WaypointExpertCfg):
    """The left arm holds the box down by its shelf; the right one then lifts the lid by its tab along an arc."""

    arms = left_and_right(LEFT_WAYPOINTS, RIGHT_WAYPOINTS)
    slip_distance = 0.045
    mixed = ExpertNoiseCfg(action_std=0.1, position_bias=0.01, yaw_bias=0.1, speed_range=(0.8, 1.2))
    noise_scale = 0.5
