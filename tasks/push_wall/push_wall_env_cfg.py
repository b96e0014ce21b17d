# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The push-wall task, without a robot: a puck before a wall, and a goal behind it.

Sizes, mass, friction and ranges are those of MetaWorld's push-wall, whose y axis is this x axis and begins 0.2 m behind
it, and whose x axis is this y axis, mirrored. The puck is a prism with eight sides. Success asks for more: the puck
lies still, and the hand has left it.
"""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import AssetBaseCfg, RigidObjectCfg
from isaaclab.managers import SceneEntityCfg
from isaaclab.utils import configclass

from zprl.tasks import mdp
from zprl.tasks.common import (
    CONTROL_PERIOD,
    CompoundCfg,
    CompoundPartCfg,
    TabletopEnvCfg,
    TabletopEventCfg,
    TabletopSceneCfg,
    box,
    fixture,
    placed,
    prism,
    randomized,
)

PUCK_RADIUS, PUCK_HEIGHT = 0.02, 0.04
"""Distance of the puck's sides from its axis, and its height [m]."""

WALL = (0.55, -0.10)
"""Place of the wall's centre [m]; it reaches to y = 0.02 m."""

SUBSTEP = 0.01
"""Physics time step [s]."""


def _goal() -> list[CompoundPartCfg]:
    """Return a mark that nothing touches."""
    look = sim_utils.PreviewSurfaceCfg(diffuse_color=(0.1, 0.6, 0.2), opacity=0.6)
    return [CompoundPartCfg(spawn=sim_utils.CylinderCfg(radius=0.07, height=0.001, visual_material=look))]


@configclass
class PushWallSceneCfg(TabletopSceneCfg):
    """Robot, table with the wall, puck and goal."""

    table: AssetBaseCfg = AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Table",
        spawn=CompoundCfg(
            parts=[
                box((1.1, 1.0, 0.04), (0.35, 0.0, -0.02)),
                box((0.02, 0.24, 0.12), (*WALL, 0.06), color=(0.35, 0.35, 0.38)),
            ]
        ),
    )
    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.425, 0.0, PUCK_HEIGHT / 2)),
        spawn=CompoundCfg(
            parts=prism(PUCK_RADIUS, PUCK_HEIGHT, 4, color=(0.85, 0.25, 0.12), friction=1.0),
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(),
            mass_props=sim_utils.MassCfg(mass=0.75),
        ),
    )
    goal: RigidObjectCfg = fixture("Goal", _goal(), (0.675, 0.0, 0.0))


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset."""

    reset_object = placed((0.4, 0.45), (-0.05, 0.05), PUCK_HEIGHT / 2)
    reset_goal = placed((0.65, 0.7), (-0.05, 0.05), 0.0, asset="goal")


@configclass
class PushWallEnvCfg(TabletopEnvCfg):
    """Bring a puck around a wall and leave it within 7 cm of a goal, within 15 s."""

    scene: PushWallSceneCfg = PushWallSceneCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.show_place_of("goal")
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=200, nconmax=50)
        self.use_success(
            CONTROL_PERIOD,
            mdp.object_within,
            distance=0.07,
            target_cfg=SceneEntityCfg("goal"),
            release_distance=0.0424,
            max_speed=0.05,
            asset_cfg=MISSING,
            offset=MISSING,
        )
        self.episode_length_s = 15.0
