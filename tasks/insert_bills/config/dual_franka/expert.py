# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the insert-bills task with two Franka Pandas."""

from __future__ import annotations

import math
from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.experts import ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg, left_and_right
from zprl.tasks.insert_bills.insert_bills_env_cfg import FLAP, HEIGHT, LENGTH, SLOT, STAND, STRIP, TAB_PLACE

HINGE_PLACE = (-(SLOT + FLAP) / 2, 0.0, STAND + 0.001)
"""The middle of the hinge in the wallet's frame [m]."""

TAB_GRIP = (HINGE_PLACE[0], TAB_PLACE[1] + 0.003, HINGE_PLACE[2] + TAB_PLACE[2] + 0.005)
"""Where the left hand holds the tab of the shut flap, in the wallet's frame [m]."""

SHUT = (0.0, TAB_PLACE[1] + 0.003, TAB_PLACE[2] + 0.005)
"""Where that is, seen from the middle of the hinge [m]."""

BILL_GRIP = (0.0, 0.0, STRIP[2] / 2 - 0.0125)
"""Where the right hand holds the bill, in its frame [m]."""

TURN = 0.45
"""Angle that the flap is opened by [rad]."""

ACROSS: dict[str, Any] = {"yaw": math.pi / 2, "yaw_symmetry": math.pi}
"""Fingers that close across what is thin along x."""

TOP = STAND + HEIGHT

IN = (-0.012, 0.0, TOP - 0.045 + LENGTH - STRIP[2] / 2)
"""Where the bill is let go, in the wallet's frame [m]."""


def _at(frame: str, pos: tuple[float, float, float], above: float = 0.0, **settings: Any) -> WaypointCfg:
    x, y, z = pos
    return WaypointCfg(frame=frame, pos=(x, y, z + above), **{**ACROSS, **settings})


def _stay(**settings: Any) -> WaypointCfg:
    return WaypointCfg(tolerance=0.05, biased=False, **settings)


HELD: dict[str, Any] = {"gripper_open": False, "biased": False}
CARRIED: dict[str, Any] = {**HELD, "grasped": "object", "retry_from": 0}

LEFT_WAYPOINTS = [
    _at("wallet", TAB_GRIP, 0.08, tolerance=0.02, yaw_tolerance=0.15),
    _at("wallet", TAB_GRIP, tolerance=0.008, max_speed=0.7, max_steps=40),
    _stay(gripper_open=False, hold_steps=5),
    WaypointCfg(
        frame="wallet",
        pos=HINGE_PLACE,
        arc=(0.0, -TURN, 0.0),
        arc_from=SHUT,
        yaw=None,
        max_speed=0.4,
        max_steps=30,
        tolerance=0.008,
        barrier="open",
        **HELD,
    ),
    _stay(gripper_open=False, barrier="inserted"),
    _stay(hold_steps=4),
    WaypointCfg(pos=(0.0, 0.0, 0.12), biased=False),
]

RIGHT_WAYPOINTS = [
    _at("object", BILL_GRIP, 0.08, tolerance=0.02, yaw_tolerance=0.1),
    _at("object", BILL_GRIP, tolerance=0.008, max_speed=0.7, max_steps=40),
    _stay(gripper_open=False, hold_steps=5),
    WaypointCfg(pos=(0.0, 0.0, 0.12), tolerance=0.02, **CARRIED),
    _at("wallet", IN, 0.09, carried="object", yaw=0.0, tolerance=0.01, barrier="open", **CARRIED),
    _at("wallet", IN, 0.05, carried="object", yaw=0.0, tolerance=0.004, max_speed=0.5, max_steps=30, **CARRIED),
    _at("wallet", IN, carried="object", yaw=0.0, tolerance=0.005, max_speed=0.3, max_steps=30, **CARRIED),
    _stay(hold_steps=3),
    WaypointCfg(pos=(0.0, 0.0, 0.08), tolerance=0.03, biased=False, barrier="inserted"),
    WaypointCfg(pos=(0.0, -0.05, 0.05), biased=False),
]


@configclass
class InsertBillsExpertCfg(WaypointExpertCfg):
    """The left arm pulls the flap open by its tab; the right one lowers the bill into the slot; both let go."""

    arms = left_and_right(LEFT_WAYPOINTS, RIGHT_WAYPOINTS)
    slip_distance = 0.05
    mixed = ExpertNoiseCfg(action_std=0.1, position_bias=0.01, yaw_bias=0.1, speed_range=(0.8, 1.2))
    noise_scale = 0.5
