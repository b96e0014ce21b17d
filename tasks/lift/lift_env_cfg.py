# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The lift task, without a robot: a cube on a table, and what counts as lifting it."""

from __future__ import annotations

from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg
from isaaclab.utils import configclass

from zprl.tasks import mdp
from zprl.tasks.common import CONTROL_PERIOD, TabletopEnvCfg, TabletopEventCfg, TabletopSceneCfg, placed, randomized

CUBE_SIZE = 0.055
"""Edge length of the cube [m]."""

SUBSTEP = 0.01
"""Physics time step [s]; at 0.02 s no grasp survives the lift."""


@configclass
class LiftSceneCfg(TabletopSceneCfg):
    """Robot, table and cube."""

    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.5, 0.0, CUBE_SIZE / 2)),
        spawn=sim_utils.CuboidCfg(
            size=(CUBE_SIZE, CUBE_SIZE, CUBE_SIZE),
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(),
            mass_props=sim_utils.MassCfg(mass=0.1),
            collision_props=sim_utils.UsdPhysicsCollisionCfg(),
            physics_material=sim_utils.RigidBodyMaterialCfg(static_friction=1.0, dynamic_friction=1.0),
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.85, 0.25, 0.12), roughness=0.5),
        ),
    )


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset."""

    reset_object = placed((0.42, 0.58), (-0.16, 0.16), CUBE_SIZE / 2, yaw_range=(-0.78, 0.78))


@configclass
class LiftEnvCfg(TabletopEnvCfg):
    """Lift a cube off the table, by its centre to 0.15 m, within 4 s."""

    scene: LiftSceneCfg = LiftSceneCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=96, nconmax=24)
        self.use_success(CONTROL_PERIOD, mdp.object_lifted, minimal_height=0.15)
        self.episode_length_s = 4.0
