# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The can task, without a robot: two bins, a can in one of them, and the quarter of the other where it belongs.

Geometry, mass, friction and ranges are those of robosuite's PickPlaceCan, seen from the robot's base, which stands
0.092 m above the bins' floors; the can is a prism with eight sides. Success asks for more: the can has come to rest.
"""

from __future__ import annotations

import math
from dataclasses import MISSING
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import AssetBaseCfg, RigidObjectCfg
from isaaclab.utils import configclass

from zprl.tasks import mdp
from zprl.tasks.common import (
    CONTROL_PERIOD,
    CompoundCfg,
    TabletopEnvCfg,
    TabletopEventCfg,
    TabletopSceneCfg,
    box,
    open_bin,
    placed,
    prism,
    randomized,
)

FLOOR = -0.092
"""Height of the bins' floors [m]."""

START_BIN, TARGET_BIN = (0.6, -0.15, FLOOR), (0.6, 0.38, FLOOR)
"""Centres of the bins' floors [m]."""

CAN_RADIUS, CAN_HEIGHT = 0.025, 0.08
"""Distance of the can's sides from its axis, and its height [m]."""

QUARTER = ((0.6, 0.38, -0.112), (0.795, 0.625, -0.012))
"""Corners of the box that the can's centre must be in: the target bin's far left quarter [m]."""

SUBSTEP = 0.01
"""Physics time step [s]."""


def _bins() -> CompoundCfg:
    """Return both bins, the target with the bars that part it into quarters, 0.4 m x 0.5 m x 0.1 m each."""
    inner, wall = (0.38, 0.48, 0.08), 0.02
    parts = [*open_bin(inner, wall, START_BIN), *open_bin(inner, wall, TARGET_BIN)]
    x, y, z = TARGET_BIN
    parts += [box((0.38, 0.01, 0.02), (x, y, z + 0.01)), box((0.01, 0.48, 0.02), (x, y, z + 0.01))]
    return CompoundCfg(parts=parts)


@configclass
class CanSceneCfg(TabletopSceneCfg):
    """Robot, bins and can."""

    table: AssetBaseCfg = AssetBaseCfg(prim_path="{ENV_REGEX_NS}/Bins", spawn=_bins())
    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.6, -0.15, FLOOR + CAN_HEIGHT / 2)),
        spawn=CompoundCfg(
            parts=prism(CAN_RADIUS, CAN_HEIGHT, 4, color=(0.75, 0.08, 0.10), friction=0.95),
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(),
            mass_props=sim_utils.MassCfg(mass=0.016),
        ),
    )


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset."""

    reset_object = placed((0.48, 0.72), (-0.32, 0.02), FLOOR + CAN_HEIGHT / 2, yaw_range=(-math.pi, math.pi))


@configclass
class CanEnvCfg(TabletopEnvCfg):
    """Put a can into the far left quarter of the other bin, within 20 s."""

    scene: CanSceneCfg = CanSceneCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=200, nconmax=50)
        low, high = QUARTER
        self.use_success(
            CONTROL_PERIOD,
            mdp.object_placed,
            low=low,
            high=high,
            release_distance=0.0424,
            max_speed=0.05,
            asset_cfg=MISSING,
            offset=MISSING,
        )
        self.episode_length_s = 20.0
