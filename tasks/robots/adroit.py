# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The Adroit hand: 24 joints, on a forearm that stands still or moves by two or four joints of its own."""

from __future__ import annotations

import isaaclab.sim as sim_utils
from isaaclab.actuators import ActuatorBaseCfg, ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg
from isaaclab_newton.sim.schemas import NewtonArticulationCfg
from isaaclab_physx.sim.schemas import PhysxArticulationCfg

from zprl.tasks.robots.assets import ADROIT_USDS
from zprl.tasks.robots.assets.adroit_arms import ARMS
from zprl.tasks.robots.assets.adroit_joints import GRASP_CENTER as GRASP_CENTER
from zprl.tasks.robots.assets.adroit_joints import HAND_RANGES as HAND_RANGES
from zprl.tasks.robots.assets.adroit_joints import SHOULDER as SHOULDER
from zprl.tasks.robots.robot import HandCfg, JointTargetsCfg, PartCfg, RobotCfg


def adroit(arm: str = "fixed") -> RobotCfg:
    """Return one hand, with the servos of the benchmark's model: stiff arm, soft fingers.

    Args:
        arm: What carries it: "fixed", palm up; "two_axes" or "four_axes", palm down.
    """
    arm_ranges = {joint.name: joint.limits for joint in ARMS[arm]}
    parts: dict[str, PartCfg] = {"arm_action": JointTargetsCfg(ranges=arm_ranges)} if arm_ranges else {}
    parts["hand_action"] = HandCfg(
        ranges=HAND_RANGES,
        body="palm",
        offset=GRASP_CENTER,
        fingers=["palm", "lfmetacarpal", ".*proximal", ".*middle", ".*distal"],
    )
    return RobotCfg(articulations={"robot": _articulation(arm)}, parts=parts)


def _articulation(arm: str) -> ArticulationCfg:
    def servos(joints: list[str], stiffness: float, damping: float, armature: float) -> ImplicitActuatorCfg:
        return ImplicitActuatorCfg(
            joint_names_expr=joints, stiffness=stiffness, damping=damping, armature=armature, friction=0.001
        )

    actuators: dict[str, ActuatorBaseCfg] = {
        "wrist": servos(["WRJ[01]"], 10.0, 0.5, 0.005),
        "fingers": servos(["(FF|MF|RF|LF|TH)J[0-4]"], 1.0, 0.05, 0.001),
    }
    if ARMS[arm]:
        # The benchmark's servos push with 500 times the target and pull with 200 times the position: their targets are
        # meant 2.5 times as large, and are the joints' ranges here.
        actuators["arm"] = servos(["AR.*"], 200.0, 20.0, 0.001)
    return ArticulationCfg(
        prim_path="{ENV_REGEX_NS}/Robot",
        spawn=sim_utils.UsdFileCfg(
            usd_path=str(ADROIT_USDS[arm]),
            articulation_props=[
                NewtonArticulationCfg(self_collision_enabled=True),  # of the pairs that the file leaves
                PhysxArticulationCfg(enabled_self_collisions=True),
            ],
        ),
        init_state=ArticulationCfg.InitialStateCfg(pos=SHOULDER, joint_pos={".*": 0.0}),
        actuators=actuators,
    )
