# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The pen task, without a robot: a pen above an open palm, and a copy of it that shows where it is to point.

Sizes, masses, places and tilts are those of the pen task that is a benchmark (Rajeswaran et al., arXiv 1709.10087), in
which an episode succeeds if the pen has pointed where it should, within 18 degrees, for 0.4 s.
"""

from __future__ import annotations

import math
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg, TerminationTermCfg
from isaaclab.sim.spawners.materials import UsdPhysicsRigidBodyMaterialCfg
from isaaclab.utils import configclass
from isaaclab_newton.sim.schemas import MujocoCollisionCfg
from isaaclab_newton.sim.spawners.materials import NewtonMaterialCfg

from zprl.tasks import mdp
from zprl.tasks.common import (
    HAND_CONTROL_PERIOD,
    HAND_SUBSTEP,
    CompoundCfg,
    CompoundPartCfg,
    HandEnvCfg,
    HandEventCfg,
    HandObservationsCfg,
    HandSceneCfg,
    fixture,
    measured,
    randomized_hand,
)
from zprl.tasks.common.env_cfg import DisturbanceTargetsCfg, TerminationsCfg

RADIUS, LENGTH = 0.015, 0.13
"""Radius and length of the pen [m]."""

MASS = 0.182
"""Mass of the pen [kg]."""

INERTIA = (1.29e-3, 1.28e-3, 1.022e-3)
"""Moments of inertia of the pen [kg m^2]: its own, and an armature of 1e-3 that the benchmark gives its hinges."""

PLACE = (0.0, -0.2, 0.25)
"""Where the pen is first, and is to stay near [m]."""

DROPPED = 0.075
"""Height of the pen below which it has fallen out of the hand [m]."""

DISTANCE, ALIGNMENT, HOLD = 0.075, 0.95, 0.4
"""Largest distance of the pen from its place [m], least cosine of its direction's error, and for how long [s]."""


def _pen(color: tuple[float, float, float], collides: bool) -> list[CompoundPartCfg]:
    """Return the shaft and, as seen only, a cap on the end that the z axis comes from."""
    material = [
        UsdPhysicsRigidBodyMaterialCfg(static_friction=1.0, dynamic_friction=1.0),
        NewtonMaterialCfg(torsional_friction=0.5),
    ]
    contact: dict[str, Any] = {
        "collision_props": [sim_utils.UsdPhysicsCollisionCfg(), MujocoCollisionCfg(condim=4)],
        "physics_material": material,
    }
    shaft = sim_utils.PreviewSurfaceCfg(diffuse_color=(0.85, 0.85, 0.87), roughness=0.4)
    cap = sim_utils.PreviewSurfaceCfg(diffuse_color=color, roughness=0.4)
    return [
        CompoundPartCfg(
            spawn=sim_utils.CylinderCfg(
                radius=RADIUS, height=LENGTH, visual_material=shaft, **(contact if collides else {})
            )
        ),
        CompoundPartCfg(
            spawn=sim_utils.CylinderCfg(radius=0.017, height=0.04, visual_material=cap), pos=(0.0, 0.0, -0.0455)
        ),
    ]


@configclass
class PenSceneCfg(HandSceneCfg):
    """Hand, table, pen and its copy, which nothing touches."""

    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(pos=PLACE, rot=(0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5))),
        spawn=CompoundCfg(
            parts=_pen((0.05, 0.30, 0.90), collides=True),
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(),
            mass_props=sim_utils.MassCfg(mass=MASS),
            inertia=INERTIA,
        ),
    )
    target: RigidObjectCfg = fixture("Target", _pen((0.10, 0.65, 0.25), collides=False), (0.2, -0.2, 0.25))


@configclass
class ObservationsCfg(HandObservationsCfg):
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(HandObservationsCfg.PolicyCfg):
        """What the policy sees: the hand, the pen, and where that is to point."""

        object_position = measured(mdp.object_position_in_root_frame, 0.002)
        object_axis = measured(mdp.object_axis_in_root_frame, 0.01)
        object_velocity = measured(mdp.object_velocity_in_root_frame, 0.01)
        target_axis = measured(mdp.object_axis_in_root_frame, 0.0, object_cfg=SceneEntityCfg("target"))

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventCfg(HandEventCfg):
    """Initial states, drawn at every reset."""

    reset_object = EventTermCfg(func=mdp.reset_object_to_default, mode="reset", params={"spread": 0.002})
    reset_target = EventTermCfg(
        func=mdp.reset_object_tilted,
        mode="reset",
        params={"position": (0.2, -0.2, 0.25), "tilt": 1.0, "asset_cfg": SceneEntityCfg("target")},
    )


@configclass
class PenTerminationsCfg(TerminationsCfg):
    """Ends of an episode, of which one is that the pen has been dropped."""

    object_dropping = TerminationTermCfg(
        func=mdp.root_height_below_minimum, params={"minimum_height": DROPPED, "asset_cfg": SceneEntityCfg("object")}
    )


@configclass
class PenEnvCfg(HandEnvCfg):
    """Turn a pen so that it points where its copy does, and hold it so for 0.4 s, within 2 s."""

    scene: PenSceneCfg = PenSceneCfg()
    observations: ObservationsCfg = ObservationsCfg()
    terminations: PenTerminationsCfg = PenTerminationsCfg()
    events: Any = randomized_hand(EventCfg(), SceneEntityCfg("object"))
    disturbance_targets: DisturbanceTargetsCfg = DisturbanceTargetsCfg(object_name="object")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_physics(HAND_CONTROL_PERIOD, HAND_SUBSTEP, njmax=200, nconmax=48)
        self.use_success(
            HAND_CONTROL_PERIOD,
            mdp.AxisHeldAt,
            seconds=HOLD,
            position=PLACE,
            distance=DISTANCE,
            alignment=ALIGNMENT,
            target_cfg=SceneEntityCfg("target"),
        )
        self.episode_length_s = 2.0
