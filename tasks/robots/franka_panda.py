# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The Franka Panda with its parallel gripper, or with a spatula in its place."""

from __future__ import annotations

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg
from isaaclab.utils import configclass, replace
from isaaclab_assets.robots.franka import FRANKA_PANDA_CFG as NUCLEUS_FRANKA_PANDA_CFG
from isaaclab_newton.sim.schemas import MujocoRigidBodyCfg
from isaaclab_physx.sim.schemas import PhysxRigidBodyCfg
from isaaclab_tasks.utils import PresetCfg, preset

from zprl.sim.isaaclab.cameras import PolicyCameraCfg
from zprl.tasks.robots.assets import FRANKA_PANDA_USD, FRANKA_SPATULA_USD
from zprl.tasks.robots.robot import ArmCfg, GripperCfg, PartCfg, RobotCfg

GRASP_CENTER_OFFSET = (0.0, 0.0, 0.1034)
"""The point between the finger pads, in the hand's frame [m]."""

FRANKA_PANDA_CFG = ArticulationCfg(
    prim_path="{ENV_REGEX_NS}/Robot",
    spawn=sim_utils.UsdFileCfg(
        usd_path=str(FRANKA_PANDA_USD),
        # The real arm compensates its own weight; without this it sags by centimetres under position control. MuJoCo
        # reads the first of the two, PhysX the second.
        rigid_props=[
            sim_utils.UsdPhysicsRigidBodyCfg(),
            MujocoRigidBodyCfg(gravcomp=1.0),
            PhysxRigidBodyCfg(disable_gravity=True),
        ],
    ),
    init_state=ArticulationCfg.InitialStateCfg(
        joint_pos={
            "panda_joint1": 0.0,
            "panda_joint2": -0.569,
            "panda_joint3": 0.0,
            "panda_joint4": -2.810,
            "panda_joint5": 0.0,
            "panda_joint6": 2.241,
            "panda_joint7": 0.785,
            "panda_finger_joint.*": 0.04,
        },
    ),
    actuators={
        "panda_shoulder": ImplicitActuatorCfg(
            joint_names_expr=["panda_joint[1-4]"],
            joint_effort_limit=87.0,
            stiffness=2000.0,
            damping=200.0,
            armature=0.1,
        ),
        "panda_forearm": ImplicitActuatorCfg(
            joint_names_expr=["panda_joint[5-7]"], joint_effort_limit=12.0, stiffness=600.0, damping=60.0, armature=0.1
        ),
        # Soft enough that the drives never saturate on the cube (11 N at its width): two saturated fingers push with
        # constant force and let the cube drift between them. The armature keeps the damping's implicit part small
        # against the fingers' inertia; otherwise the contact solver, which does not see it, lets the pads sink in.
        "panda_hand": ImplicitActuatorCfg(
            joint_names_expr=["panda_finger_joint.*"],
            joint_effort_limit=20.0,
            stiffness=400.0,
            damping=40.0,
            armature=0.5,
        ),
    },
)
"""This project's own Panda."""

NUCLEUS_FRANKA_CFG = replace(
    NUCLEUS_FRANKA_PANDA_CFG,
    prim_path="{ENV_REGEX_NS}/Robot",
    spawn=replace(
        NUCLEUS_FRANKA_PANDA_CFG.spawn,
        variants={
            "Physics": preset(default="mujoco", isaacsim_physx="physx", physx="physx", ovphysx="physx"),
            "Colliders": "gripper_only",
        },
        rigid_props=[
            PhysxRigidBodyCfg(disable_gravity=True, max_depenetration_velocity=5.0),
            MujocoRigidBodyCfg(gravcomp=1.0),
        ],
    ),
    init_state=FRANKA_PANDA_CFG.init_state,
    actuators={
        **FRANKA_PANDA_CFG.actuators,
        # This asset drives one finger and lets the other follow it by a mimic joint; its own gains suit that.
        **{name: NUCLEUS_FRANKA_PANDA_CFG.actuators[name] for name in ("panda_hand", "panda_finger2_passive")},
    },
)
"""Isaac Lab's Panda, whose meshes are downloaded from NVIDIA Nucleus, with this project's arm gains."""


@configclass
class FrankaPandaPresetsCfg(PresetCfg):
    """Pandas; ``presets=nucleus_franka`` chooses Isaac Lab's. Both have the same joint and body names."""

    nucleus_franka = NUCLEUS_FRANKA_CFG
    default = FRANKA_PANDA_CFG


def panda_parts(prefix: str = "", squeeze: float = 0.0) -> dict[str, PartCfg]:
    """Return the arm and the gripper of a Panda by the names of their action terms.

    Args:
        prefix: What the names of its joints, bodies and action terms begin with, of a robot with several.
        squeeze: See :func:`franka_panda`.
    """
    return {
        f"{prefix}arm_action": ArmCfg(
            joints=[f"{prefix}panda_joint.*"],
            body=f"{prefix}panda_hand",
            offset=GRASP_CENTER_OFFSET,
            scale=(0.04, 0.04, 0.04, 0.2, 0.2, 0.2),
        ),
        f"{prefix}gripper_action": GripperCfg(
            joints=[f"{prefix}panda_finger_joint.*"],
            fingers=[f"{prefix}panda_.*finger"],
            open={f"{prefix}panda_finger_joint.*": 0.04},
            closed={f"{prefix}panda_finger_joint.*": 0.0 - squeeze},
        ),
    }


def wrist_camera(prefix: str = "") -> PolicyCameraCfg:
    """Return the camera that a Panda carries.

    It is beside the hand, so that it sees both finger tips and, where episodes begin, most of the table.

    Args:
        prefix: What the names of the Panda's bodies begin with.
    """
    return PolicyCameraCfg(
        body=f"robot/{prefix}panda_hand",
        eye=(0.085, 0.0, 0.015),
        target=(0.045, 0.0, 0.2),
        up=(1.0, 0.0, 0.0),
        field_of_view=84.5,
        far=3.0,
    )


def franka_panda(squeeze: float = 0.0) -> RobotCfg:
    """Return one Panda at the origin of its world.

    Args:
        squeeze: How far beyond closed the closing fingers strive [m]; each presses with 400 N/m of that, in addition
            to what the width of the object in between gives it.
    """
    return RobotCfg(
        articulations={"robot": FrankaPandaPresetsCfg()},  # type: ignore[dict-item]
        parts=panda_parts(squeeze=squeeze),
        cameras={"wrist": wrist_camera()},
    )


FRANKA_PANDA = franka_panda()
"""One Panda that presses with no more than the width of an object gives."""


def franka_spatula() -> RobotCfg:
    """Return one Panda at the origin of its world that has a spatula instead of a gripper.

    Its end effector is the middle of the blade, with x towards the front edge and z out of the underside, so that it is
    commanded as a gripper that points down. Its actions are the paper's for such a robot: changes of the pose that it
    strives for, at 10 Hz. Where episodes begin, the blade points to the left.
    """
    panda = FRANKA_PANDA_CFG
    posture = (-0.64, 0.352, -0.072, -1.629, 0.721, 1.301, 0.798)
    return RobotCfg(
        articulations={
            "robot": replace(
                panda,
                spawn=replace(panda.spawn, usd_path=str(FRANKA_SPATULA_USD)),
                init_state=replace(
                    panda.init_state,
                    joint_pos={f"panda_joint{number}": angle for number, angle in enumerate(posture, start=1)},
                ),
                actuators={name: arm for name, arm in panda.actuators.items() if name != "panda_hand"},
            )
        },
        parts={
            "arm_action": ArmCfg(
                joints=["panda_joint.*"],
                fingers=["panda_spatula"],
                body="panda_spatula",
                scale=(0.05, 0.05, 0.05, 0.4, 0.4, 0.4),
                moves_target=True,
            )
        },
    )


FRANKA_SPATULA = franka_spatula()
"""One Panda with a spatula."""
