# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The transport task, without a robot: a hammer in a bin with a lid, and a cube in the bin where the hammer belongs.

Geometry and masses are those of robosuite's TwoArmTransport, seen from between the robots' bases, which stand 0.112 m
above the tables; so are the ranges of initial states, though the bins, which weigh 26 kg there, do not move here.
Success asks for more: hammer and cube have come to rest, and the hands have left them.
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
    CompoundPartCfg,
    TabletopEventCfg,
    TabletopSceneCfg,
    TwoArmEnvCfg,
    box,
    open_bin,
    placed,
    randomized,
)

TABLE = -0.112
"""Height of the tables' tops [m]."""

BIN, BIN_HEIGHT, WALL = 0.3, 0.15, 0.01
"""Outer edge length and height of the bins, and thickness of their floors and walls [m]."""

FLOOR = TABLE + WALL
"""Height of the bins' floors [m]."""

START_BIN, TARGET_BIN, TRASH_BIN = (0.2, -0.45), (-0.2, 0.45), (0.2, 0.45)
"""Centres of the bins [m]: the hammer's, with a lid, at the left arm; where it belongs and where the cube belongs, at
the right one."""

HANDLE, HEAD = (0.03, 0.2, 0.03), (0.064, 0.032, 0.032)
"""Edge lengths of the hammer's handle, whose centre is the hammer's frame, and of its head, which is towards the left
arm [m]."""

LID_THICKNESS, LID_HANDLE = 0.01, (0.02, 0.08, 0.03)
"""Thickness of the lid, whose centre is the lid's frame, and edge lengths of its handle [m]."""

CUBE = 0.04
"""Edge length of the cube [m]."""

SUBSTEP = 0.005
"""Physics time step [s]; at 0.01 s the hand squeezes the cube out when it lifts it, and the expert fails in 5 of 6."""


def _bins() -> CompoundCfg:
    """Return both tables, with a gap of 0.6 m between them, and the bins on them."""
    parts = [box((0.8, 0.3, 0.04), (0.0, y, TABLE - 0.02)) for y in (-0.45, 0.45)]
    inner = (BIN - 2 * WALL, BIN - 2 * WALL, BIN_HEIGHT - WALL)
    for place, color in (
        (START_BIN, (0.55, 0.40, 0.22)),
        (TARGET_BIN, (0.25, 0.42, 0.30)),
        (TRASH_BIN, (0.45, 0.20, 0.18)),
    ):
        parts += open_bin(inner, WALL, (*place, FLOOR), color=color)
    return CompoundCfg(parts=parts)


def _body(parts: list[CompoundPartCfg], mass: float) -> CompoundCfg:
    return CompoundCfg(
        parts=parts, rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(), mass_props=sim_utils.MassCfg(mass=mass)
    )


def _hammer() -> CompoundCfg:
    head = box(HEAD, (0.0, -(HANDLE[1] + HEAD[1]) / 2, 0.0), color=(0.35, 0.36, 0.40))
    return _body([box(HANDLE, (0.0, 0.0, 0.0), color=(0.75, 0.50, 0.15)), head], 0.0488)


def _cube() -> CompoundCfg:
    return _body([box((CUBE, CUBE, CUBE), (0.0, 0.0, 0.0), color=(0.75, 0.08, 0.10))], 0.064)


def _lid() -> CompoundCfg:
    color = (0.15, 0.35, 0.65)
    handle = box(LID_HANDLE, (0.0, 0.0, (LID_THICKNESS + LID_HANDLE[2]) / 2), color=color)
    return _body([box((BIN, BIN, LID_THICKNESS), (0.0, 0.0, 0.0), color=color), handle], 0.249)


def _object(name: str, place: tuple[float, float], height: float, spawn: CompoundCfg) -> RigidObjectCfg:
    return RigidObjectCfg(
        prim_path=f"{{ENV_REGEX_NS}}/{name}",
        init_state=RigidObjectCfg.InitialStateCfg(pos=(*place, height)),
        spawn=spawn,
    )


HAMMER_HEIGHT, CUBE_HEIGHT = FLOOR + HEAD[2] / 2, FLOOR + CUBE / 2
"""Heights of the hammer and of the cube when they lie in a bin [m]."""

LID_HEIGHT = TABLE + BIN_HEIGHT + LID_THICKNESS / 2
"""Height of the lid when it lies on its bin [m]."""


@configclass
class TransportSceneCfg(TabletopSceneCfg):
    """Robot, tables with bins, hammer, cube and lid."""

    table: AssetBaseCfg = AssetBaseCfg(prim_path="{ENV_REGEX_NS}/Bins", spawn=_bins())
    object: RigidObjectCfg = _object("Object", START_BIN, HAMMER_HEIGHT, _hammer())
    trash: RigidObjectCfg = _object("Trash", TARGET_BIN, CUBE_HEIGHT, _cube())
    lid: RigidObjectCfg = _object("Lid", START_BIN, LID_HEIGHT, _lid())


def _near(place: tuple[float, float], height: float, yaw: float = 0.0, **params: Any) -> Any:
    """Return a term that puts a thing within 5 mm of a place, turned by up to a yaw [rad]."""
    (x, y), spread = place, 0.005
    return placed((x - spread, x + spread), (y - spread, y + spread), height, (-yaw, yaw), **params)


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset."""

    # The middle of handle and head together lies over the bin's.
    reset_object = _near((START_BIN[0], START_BIN[1] + HEAD[1] / 2), HAMMER_HEIGHT, math.pi / 6)
    reset_trash = _near(TARGET_BIN, CUBE_HEIGHT, 0.3 * math.pi, asset="trash")
    reset_lid = _near(START_BIN, LID_HEIGHT, asset="lid")


def inside(place: tuple[float, float]) -> dict[str, tuple[float, float, float]]:
    """Return the corners of the space inside a bin, but for its uppermost 3 cm, as ``low`` and ``high`` [m]."""
    (x, y), half = place, BIN / 2 - WALL
    return {"low": (x - half, y - half, FLOOR), "high": (x + half, y + half, TABLE + BIN_HEIGHT - 0.03)}


@configclass
class TransportEnvCfg(TwoArmEnvCfg):
    """Move a cube out of the way and a hammer, from hand to hand, into its place, within 20 s."""

    scene: TransportSceneCfg = TransportSceneCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.add_object("trash", seen_from=("right",))
        self.add_object("lid", seen_from=("left",))
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=400, nconmax=120)
        self.use_success(
            CONTROL_PERIOD,
            mdp.objects_placed,
            # Whoever holds the hammer holds it at less than half of its length from its frame.
            places={
                "object": {**inside(TARGET_BIN), "release_distance": 0.13},
                "trash": {**inside(TRASH_BIN), "release_distance": 0.0424},
            },
            max_speed=0.05,
            asset_cfg=MISSING,
            offset=MISSING,
        )
        self.episode_length_s = 20.0
