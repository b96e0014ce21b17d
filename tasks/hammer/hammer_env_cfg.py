# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The hammer task, without a robot: a hammer on the table, and a board at some height with a nail in it.

Sizes, masses, friction and places are those of the hammer task that is a benchmark (Rajeswaran et al., arXiv
1709.10087), in which an episode succeeds if the nail has been home, within 1 cm, for half a second.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import ArticulationCfg, RigidObjectCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg
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
    hinged,
    measured,
    randomized_hand,
)
from zprl.tasks.common.env_cfg import DisturbanceTargetsCfg

NAIL_BOARD_USD = Path(__file__).parent / "nail_board.usda"
"""The board, as :mod:`zprl.tasks.hammer.nail_board_usd` writes it; the nail points along its -z."""

MASS = 0.253442
"""Mass of the hammer [kg]."""

CENTER_OF_MASS = (-0.11025, 0.0, 0.0)
"""The hammer's centre of mass, from the middle of its handle [m]."""

INERTIA = (1.0895e-3, 4.4964e-3, 4.4529e-3)
"""Moments of inertia of the hammer [kg m^2]: its own, and an armature of 1e-3 that the benchmark gives its hinges."""

BOARD_TURN = (0.583368, -0.399421, -0.399104, 0.583833)
"""Orientation of the board: the nail is driven away from the hand and to the right."""

LOW, HIGH = (0.05, 0.0, 0.1), (0.05, 0.0, 0.25)
"""Corners of the box that the board is put in [m]: only its height differs."""

HOME, HOLD = 0.081, 0.5
"""Depth of a nail that is home, 1 cm from its end or less [m], and for how long [s]."""

NAIL_HEAD = (0.0, 0.0, 0.101)
"""Where the nail is hit, in its frame [m]."""

_ALONG_X = (0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5))


def _hammer() -> list[CompoundPartCfg]:
    """Return handle and neck along the x axis, and a head across it."""
    contact: dict[str, Any] = {
        "collision_props": [sim_utils.UsdPhysicsCollisionCfg(), MujocoCollisionCfg(condim=4)],
        "physics_material": [
            UsdPhysicsRigidBodyMaterialCfg(static_friction=1.0, dynamic_friction=1.0),
            NewtonMaterialCfg(torsional_friction=0.5),
        ],
    }
    wood = sim_utils.PreviewSurfaceCfg(diffuse_color=(0.60, 0.42, 0.25), roughness=0.7)
    steel = sim_utils.PreviewSurfaceCfg(diffuse_color=(0.45, 0.46, 0.48), roughness=0.3)
    handle = sim_utils.CapsuleCfg(radius=0.025, height=0.10, visual_material=wood, **contact)
    neck = sim_utils.CapsuleCfg(radius=0.007, height=0.17, visual_material=steel, **contact)
    head = sim_utils.CylinderCfg(radius=0.02, height=0.08, visual_material=steel, **contact)
    return [
        CompoundPartCfg(spawn=handle, rot=_ALONG_X),
        CompoundPartCfg(spawn=neck, pos=(-0.14, 0.0, 0.0), rot=_ALONG_X),
        CompoundPartCfg(spawn=head, pos=(-0.24, 0.0, 0.0)),
    ]


@configclass
class HammerSceneCfg(HandSceneCfg):
    """Hand, table, hammer and board."""

    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(
            pos=(0.0, -0.2, 0.035), rot=(math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
        ),
        spawn=CompoundCfg(
            parts=_hammer(),
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(),
            mass_props=sim_utils.MassCfg(mass=MASS),
            inertia=INERTIA,
            center_of_mass=CENTER_OF_MASS,
        ),
    )
    board: ArticulationCfg = hinged("Board", NAIL_BOARD_USD, {"nail_dir": (2.5, 0.05)}, (0.05, 0.0, 0.175), BOARD_TURN)


@configclass
class ObservationsCfg(HandObservationsCfg):
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(HandObservationsCfg.PolicyCfg):
        """What the policy sees: the hand, the hammer, the nail and its depth."""

        object_pose = measured(mdp.object_pose_in_root_frame, 0.002)
        object_velocity = measured(mdp.object_velocity_in_root_frame, 0.01)
        nail_position = measured(
            mdp.point_in_root_frame,
            0.002,
            asset_cfg=SceneEntityCfg("board", body_names=["nail"]),
            offset=NAIL_HEAD,
        )
        nail_depth = measured(mdp.joint_pos_rel, 0.001, asset_cfg=SceneEntityCfg("board", joint_names=["nail_dir"]))

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventCfg(HandEventCfg):
    """Initial states, drawn at every reset."""

    reset_object = EventTermCfg(func=mdp.reset_object_to_default, mode="reset", params={"spread": 0.002})
    reset_board = EventTermCfg(
        func=mdp.reset_fixture_in_box,
        mode="reset",
        params={"low": LOW, "high": HIGH, "asset_cfg": SceneEntityCfg("board")},
    )


@configclass
class HammerEnvCfg(HandEnvCfg):
    """Grasp a hammer, drive a nail home and leave it there for half a second, within 2 s."""

    scene: HammerSceneCfg = HammerSceneCfg()
    observations: ObservationsCfg = ObservationsCfg()
    events: Any = randomized_hand(EventCfg(), SceneEntityCfg("object"))
    disturbance_targets: DisturbanceTargetsCfg = DisturbanceTargetsCfg(
        object_name="object", object_pose_terms=["object_pose"]
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_physics(HAND_CONTROL_PERIOD, HAND_SUBSTEP, njmax=240, nconmax=48)
        self.use_success(
            HAND_CONTROL_PERIOD,
            mdp.JointHeldBeyond,
            seconds=HOLD,
            position=HOME,
            asset_cfg=SceneEntityCfg("board", joint_names=["nail_dir"]),
        )
        self.episode_length_s = 2.0
