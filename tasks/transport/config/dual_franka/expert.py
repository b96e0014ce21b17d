# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the transport task with two Franka Pandas."""

import math
from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.experts import ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg, left_and_right
from zprl.tasks.transport.transport_env_cfg import (
    FLOOR,
    LID_HANDLE,
    LID_HEIGHT,
    LID_THICKNESS,
    START_BIN,
    TABLE,
    TARGET_BIN,
    TRASH_BIN,
)

LID_GRIP = (0.0, 0.0, LID_THICKNESS / 2 + LID_HANDLE[2] / 2)
LEFT_GRIP, RIGHT_GRIP = (0.0, -0.031, 0.0), (0.0, 0.065, 0.0)
"""Where the lid and the hammer are held, in their frames [m]; the left hand holds the hammer at its centre of mass."""

ASIDE = (-START_BIN[0], START_BIN[1], TABLE + LID_THICKNESS / 2)
"""Where the lid is put [m]."""

MEETING = (0.0, 0.0, 0.15)
"""Where the hammer is handed over [m]."""

ACROSS: dict[str, Any] = {"yaw": math.pi / 2, "yaw_symmetry": math.pi}
"""Fingers that close across what lies along y."""


def _at(frame: str, pos: tuple[float, float, float], above: float = 0.0, **settings: Any) -> WaypointCfg:
    x, y, z = pos
    return WaypointCfg(frame=frame, pos=(x, y, z + above), **settings)


def _stay(**settings: Any) -> WaypointCfg:
    """Return a waypoint where the arm is, at which the gripper opens or closes."""
    return WaypointCfg(tolerance=0.05, biased=False, **settings)


def _rise(height: float, **settings: Any) -> WaypointCfg:
    return WaypointCfg(pos=(0.0, 0.0, height), tolerance=0.03, biased=False, **settings)


def _held(thing: str, retry_from: int) -> dict[str, Any]:
    return {"gripper_open": False, "grasped": thing, "retry_from": retry_from}


def _bring(thing: str, pos: tuple[float, float, float], retry_from: int, **settings: Any) -> WaypointCfg:
    """Return a waypoint of a thing that is held, in the robot's root frame, without turning it from how it lies."""
    return WaypointCfg(frame="robot", pos=pos, carried=thing, biased=False, **_held(thing, retry_from), **settings)


LEFT = [
    _at("lid", LID_GRIP, 0.10, tolerance=0.02, **ACROSS),
    _at("lid", LID_GRIP, tolerance=0.01, max_speed=0.7, max_steps=40, **ACROSS),
    _stay(gripper_open=False, hold_steps=5),
    _rise(0.10, **_held("lid", 0)),
    _bring("lid", (*ASIDE[:2], LID_HEIGHT + 0.05), 0, tolerance=0.03),
    _bring("lid", (*ASIDE[:2], ASIDE[2] + 0.005), 0, tolerance=0.015, max_speed=0.7, max_steps=30),
    _stay(hold_steps=3),
    _rise(0.12),
    _at("object", LEFT_GRIP, 0.20, tolerance=0.02, **ACROSS),
    _at("object", LEFT_GRIP, tolerance=0.008, max_speed=0.7, max_steps=40, **ACROSS),
    _stay(gripper_open=False, hold_steps=5),
    _rise(0.2, **_held("object", 8)),
    _bring("object", MEETING, 8, tolerance=0.015, yaw_tolerance=0.1, max_steps=60, barrier="offered"),
    _bring("object", MEETING, 8, tolerance=0.05, barrier="taken"),
    _stay(hold_steps=3, barrier="released"),
    _rise(0.1),
    WaypointCfg(pos=(0.0, -0.2, 0.0), biased=False),
]

RIGHT = [
    _at("trash", (0.0, 0.0, 0.0), 0.20, tolerance=0.02, yaw_tolerance=0.1),
    _at("trash", (0.0, 0.0, 0.0), tolerance=0.01, max_speed=0.7, max_steps=40),
    _stay(gripper_open=False, hold_steps=5),
    _rise(0.2, **_held("trash", 0)),
    _bring("trash", (*TRASH_BIN, FLOOR + 0.2), 0, yaw=None, tolerance=0.03),
    _bring("trash", (*TRASH_BIN, FLOOR + 0.06), 0, yaw=None, tolerance=0.02, max_speed=0.7, max_steps=30),
    _stay(hold_steps=3),
    _rise(0.15),
    _at("robot", (MEETING[0], MEETING[1] + 0.2, MEETING[2]), 0.12, tolerance=0.03, barrier="offered", **ACROSS),
    _at("object", RIGHT_GRIP, 0.1, tolerance=0.015, yaw_tolerance=0.1, max_steps=40, **ACROSS),
    _at("object", RIGHT_GRIP, tolerance=0.008, max_speed=0.5, max_steps=40, **ACROSS),
    _stay(gripper_open=False, hold_steps=5, barrier="taken"),
    _stay(gripper_open=False, barrier="released"),
    WaypointCfg(pos=(0.0, 0.15, 0.05), tolerance=0.03, gripper_open=False, biased=False),
    _bring("object", (*TARGET_BIN, FLOOR + 0.2), 9, tolerance=0.015, yaw_tolerance=0.1, max_steps=60),
    _bring("object", (*TARGET_BIN, FLOOR + 0.04), 9, tolerance=0.015, max_speed=0.7, max_steps=30),
    _stay(hold_steps=3),
    _rise(0.2),
]


@configclass
class TransportExpertCfg(WaypointExpertCfg):
    """The left arm puts the lid aside and holds the hammer out; the right one clears its place and takes it there."""

    arms = left_and_right(LEFT, RIGHT)
    mixed = ExpertNoiseCfg(action_std=0.15, position_bias=0.01, yaw_bias=0.1, speed_range=(0.8, 1.2))
    noise_scale = 0.75
    slip_distance = 0.11
