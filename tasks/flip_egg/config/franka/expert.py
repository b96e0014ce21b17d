# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Franka flip-egg task."""

import math
from typing import Any

from isaaclab.utils import configclass

from zprl.tasks.experts import ArmWaypointsCfg, ExpertNoiseCfg, WaypointCfg, WaypointExpertCfg
from zprl.tasks.flip_egg.flip_egg_env_cfg import PAN, THICKNESS

FORWARD = math.pi / 2
"""Yaw of the blade [rad]: it points along y."""

HALF_WIDTH = 0.04
"""From the blade's long axis to its sides [m]."""

DOWN = math.radians(33.0)
"""How steeply the blade points down where it comes over the rim [rad]."""

FLIP = math.radians(130.0)
"""How far the blade is turned over [rad]."""

FLIP_STEPS = 7
"""Control steps that it takes."""

MIDDLE, CARRY, GAP = -0.01, 0.02, 0.006
SLIDE = 0.2
"""Speed at which the blade goes under the egg, as a share of the action's range."""

PIVOT, SWEEP = 0.05, 0.07
"""Where the blade's lower side is when it begins to turn over, to the right of the pan's middle, and how far that moves
to the left meanwhile [m]: fast enough that the egg does not slide down before."""


def _in_pan(
    forward: float, left: float, up: float, pitch: float = 0.0, roll: float = 0.0, **settings: Any
) -> WaypointCfg:
    """Return a waypoint from the middle of the pan's floor."""
    place = (PAN[0] - left, PAN[1] + forward, PAN[2] + up)
    return WaypointCfg(frame="robot", pos=place, yaw=FORWARD, tilt=(roll, pitch), biased=False, **settings)


def _at_egg(forward: float, up: float, pitch: float, **settings: Any) -> WaypointCfg:
    """Return a waypoint from the middle of the pan's floor below the egg, whichever way that lies."""
    place = (0.0, forward, up - THICKNESS / 2)
    return WaypointCfg(frame="object", pos=place, in_root_axes=True, yaw=None, tilt=(0.0, pitch), **settings)


def _turning() -> list[WaypointCfg]:
    """Return where the blade is, step by step, while it turns over about its lower side."""
    points = []
    for step in range(1, FLIP_STEPS + 1):
        share = step / FLIP_STEPS
        angle = share * FLIP
        left = -(PIVOT + HALF_WIDTH * math.cos(angle) - SWEEP * share)
        up = HALF_WIDTH * math.sin(angle) + GAP
        points.append(_in_pan(MIDDLE, left, up, roll=-angle, tolerance=0.0, max_steps=0, max_turn=1.0))
    return points


def _waypoints() -> list[WaypointCfg]:
    flat = math.radians(-3.0)
    return [
        _in_pan(-0.20, 0.0, 0.10, DOWN, tolerance=0.03, max_steps=20),
        _at_egg(-0.115, 0.055, DOWN, tolerance=0.015, max_steps=20),
        _at_egg(-0.110, 0.022, DOWN, tolerance=0.008, max_speed=0.5, max_steps=8),
        _at_egg(-0.06, 0.0105, math.radians(14.0), tolerance=0.012, max_speed=SLIDE, max_steps=20),
        _at_egg(0.0, 0.0045, math.radians(6.0), tolerance=0.012, max_speed=SLIDE, max_steps=25),
        WaypointCfg(pos=(0.0, 0.0, 0.02), tilt=(0.0, flat), tolerance=0.01, max_steps=8, biased=False),
        _in_pan(MIDDLE, -PIVOT - HALF_WIDTH, CARRY, flat, tolerance=0.008, max_speed=0.4, max_steps=25),
        *_turning(),
        _in_pan(-0.01, 0.02, 0.05, roll=-FLIP, tolerance=0.02, hold_steps=1, max_steps=5, max_turn=1.0),
        _in_pan(-0.03, 0.0, 0.12, roll=-FLIP, tolerance=0.02, max_steps=15),
        _in_pan(-0.20, 0.0, 0.13, DOWN, tolerance=0.03, hold_steps=5, max_steps=25),
        # Turned over, the egg ends the episode before this begins.
        _in_pan(-0.20, 0.0, 0.10, DOWN, grasped="object"),
    ]


@configclass
class FlipEggExpertCfg(WaypointExpertCfg):
    """Behind the egg, under it and against the rim with it, up, to the right, over to the left, away; and once more."""

    arms = [ArmWaypointsCfg(waypoints=_waypoints(), gripper_action_name=None)]
    mixed = ExpertNoiseCfg(action_std=0.1, position_bias=0.01, speed_range=(0.8, 1.2))
    noise_scale = 0.35
    gain = 1.0
