# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The place-orange task, without a robot: an orange in a dish, and the cup of a juicer.

A twin of the first stage of the paper's juicing task, whose sizes are not published: an orange of common size and mass,
and a cup that is 9 mm wider all round. Success: the orange lies in the cup, still, and the hand has gone.
"""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg
from isaaclab.sim.spawners.materials import UsdPhysicsRigidBodyMaterialCfg
from isaaclab.utils import configclass
from isaaclab_newton.sim.schemas import MujocoCollisionCfg
from isaaclab_newton.sim.spawners.materials import NewtonMaterialCfg

from zprl.tasks import mdp
from zprl.tasks.common import (
    CONTROL_PERIOD,
    CompoundPartCfg,
    TabletopEnvCfg,
    TabletopEventCfg,
    TabletopSceneCfg,
    box,
    fixture,
    placed,
    randomized,
    ring,
)

RADIUS = 0.037
"""Radius of the orange [m]."""

MASS = 0.16
"""Mass of the orange [kg]."""

RIM, DEPTH = 0.16, 0.04
"""Height of the cup's rim over the table, and the cup's depth [m]."""

SUBSTEP = 0.01
"""Physics time step [s]."""


def _juicer() -> list[CompoundPartCfg]:
    """Return a column with a cup on top; its frame is that of its foot."""
    color = (0.62, 0.64, 0.67)
    floor = RIM - DEPTH
    column = box((0.08, 0.08, floor), (0.0, 0.0, floor / 2), color=color)
    return [column, *ring(0.046, DEPTH, 0.008, 8, floor, color=color)]


@configclass
class PlaceOrangeSceneCfg(TabletopSceneCfg):
    """Robot, table, orange, dish and juicer."""

    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.45, -0.1, RADIUS)),
        spawn=sim_utils.SphereCfg(
            radius=RADIUS,
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(),
            mass_props=sim_utils.MassCfg(mass=MASS),
            # An orange that only slides and spins would roll away for ever.
            collision_props=[sim_utils.UsdPhysicsCollisionCfg(), MujocoCollisionCfg(condim=6)],
            physics_material=[
                UsdPhysicsRigidBodyMaterialCfg(static_friction=0.8, dynamic_friction=0.8),
                NewtonMaterialCfg(torsional_friction=0.005, rolling_friction=0.001),
            ],
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.95, 0.50, 0.05), roughness=0.7),
        ),
    )
    dish: RigidObjectCfg = fixture(
        "Dish", ring(0.03, 0.012, 0.006, 8, 0.0, color=(0.85, 0.85, 0.82)), (0.45, -0.1, 0.0)
    )
    juicer: RigidObjectCfg = fixture("Juicer", _juicer(), (0.52, 0.22, 0.0))


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset; the orange lies in its dish."""

    reset_juicer = placed((0.45, 0.60), (0.15, 0.30), 0.0, asset="juicer")
    reset_dish = placed((0.38, 0.52), (-0.20, 0.05), 0.0, asset="dish")
    reset_object = EventTermCfg(
        func=mdp.reset_object_beside,
        mode="reset",
        params={"offset": (0.0, 0.0, RADIUS), "frame_cfg": SceneEntityCfg("dish")},
    )


@configclass
class PlaceOrangeEnvCfg(TabletopEnvCfg):
    """Put an orange into the cup of a juicer, within 8 s."""

    scene: PlaceOrangeSceneCfg = PlaceOrangeSceneCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.show_place_of("juicer")
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=300, nconmax=60)
        self.use_success(
            CONTROL_PERIOD,
            mdp.object_placed,
            low=(-0.012, -0.012, RIM - DEPTH),
            high=(0.012, 0.012, RIM + RADIUS),
            frame_cfg=SceneEntityCfg("juicer"),
            release_distance=0.07,
            max_speed=0.05,
            asset_cfg=MISSING,
            offset=MISSING,
        )
        self.episode_length_s = 8.0
