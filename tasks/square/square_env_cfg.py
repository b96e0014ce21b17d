# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The square task, without a robot: a square nut with a handle, and the peg that it belongs on.

Geometry, mass, friction and ranges are those of robosuite's NutAssemblySquare, seen from the robot's base, which stands
0.092 m above the table and, so that a gripper that points down reaches the peg, 0.08 m nearer to it. Success asks for
more: the nut has come to rest, and the hand has left its handle.
"""

from __future__ import annotations

import math
from dataclasses import MISSING
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import AssetBaseCfg, RigidObjectCfg
from isaaclab.sim.spawners.materials import UsdPhysicsRigidBodyMaterialCfg
from isaaclab.utils import configclass
from isaaclab_newton.sim.schemas import MujocoCollisionCfg
from isaaclab_newton.sim.spawners.materials import NewtonMaterialCfg
from isaaclab_tasks.utils import preset

from zprl.tasks import mdp
from zprl.tasks.common import (
    CONTROL_PERIOD,
    CompoundCfg,
    TabletopEnvCfg,
    TabletopEventCfg,
    TabletopSceneCfg,
    box,
    placed,
    randomized,
)

TABLE = -0.092
"""Height of the table's top [m]."""

PEG, PEG_TOP = (0.71, 0.10), 0.038
"""Place of the peg's axis, and height of its upper end [m]."""

OUTER, INNER, THICKNESS = 0.0875, 0.0455, 0.02
"""Edge lengths of the nut's outside and of its hole, and its thickness [m]; the peg's edge is 0.032 m."""

HANDLE = (0.06, 0.0, 0.0)
"""Where the nut is held, in its frame [m]."""

SUBSTEP = 0.005
"""Physics time step [s]; at 0.01 s a nut of 16 g that is squeezed against the peg now and then flies off."""


FRICTION, TORSIONAL_FRICTION = 0.95, 0.3
"""Coefficients of sliding and of torsional friction [1, m]."""


def _nut(twists: bool = True) -> CompoundCfg:
    """Return four bars around a square hole, and a handle.

    Args:
        twists: Whether the handle turns as easily about a single point of contact as any box; or it has the torsional
            friction that robosuite gives it.
    """
    bar, middle = (OUTER - INNER) / 2, (OUTER + INNER) / 4
    look: dict[str, Any] = {"color": (0.85, 0.65, 0.15), "friction": FRICTION}
    handle = box((0.05, 0.0318, THICKNESS), (0.054, 0.0, 0.0), **look)
    if not twists:
        # With the priority and the impedance of the fingers' pads, which would rule the contact alone.
        solimp = (0.98, 0.995, 0.001, 0.5, 2.0)
        handle.spawn.collision_props = [
            sim_utils.UsdPhysicsCollisionCfg(),
            MujocoCollisionCfg(condim=4, priority=1, solimp=solimp),
        ]
        handle.spawn.physics_material = [
            UsdPhysicsRigidBodyMaterialCfg(static_friction=FRICTION, dynamic_friction=FRICTION),
            NewtonMaterialCfg(torsional_friction=TORSIONAL_FRICTION),
        ]
    parts = [
        *(box((OUTER, bar, THICKNESS), (0.0, side * middle, 0.0), **look) for side in (-1, 1)),
        *(box((bar, INNER, THICKNESS), (side * middle, 0.0, 0.0), **look) for side in (-1, 1)),
        handle,
    ]
    return CompoundCfg(
        parts=parts, rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(), mass_props=sim_utils.MassCfg(mass=0.0158)
    )


def _table() -> CompoundCfg:
    peg = box((0.032, 0.032, 0.2), (*PEG, PEG_TOP - 0.1), color=(0.2, 0.35, 0.6))
    return CompoundCfg(parts=[box((0.8, 0.8, 0.05), (0.48, 0.0, TABLE - 0.025)), peg])


@configclass
class SquareSceneCfg(TabletopSceneCfg):
    """Robot, table with the peg, and nut."""

    table: AssetBaseCfg = AssetBaseCfg(prim_path="{ENV_REGEX_NS}/Table", spawn=_table())
    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.3675, 0.17, TABLE + THICKNESS / 2)),
        # In MuJoCo-Warp boxes that are not quite parallel touch in a single point, about which the nut would turn in
        # the hand by its own weight; MuJoCo's own engine finds all points.
        spawn=preset(default=_nut(), mujoco=_nut(), newton_mjwarp=_nut(twists=False)),  # type: ignore[arg-type]
    )


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset."""

    reset_object = placed((0.365, 0.37), (0.11, 0.225), TABLE + THICKNESS / 2, yaw_range=(-math.pi, math.pi))


@configclass
class SquareEnvCfg(TabletopEnvCfg):
    """Put a nut over a peg, within 20 s."""

    scene: SquareSceneCfg = SquareSceneCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=200, nconmax=50)
        self.use_success(
            CONTROL_PERIOD,
            mdp.object_placed,
            low=(PEG[0] - 0.03, PEG[1] - 0.03, TABLE),
            high=(PEG[0] + 0.03, PEG[1] + 0.03, TABLE + 0.05),
            release_distance=0.0424,
            max_speed=0.05,
            grasp_point=HANDLE,
            asset_cfg=MISSING,
            offset=MISSING,
        )
        self.episode_length_s = 20.0
