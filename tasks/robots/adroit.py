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
from zprl.tasks.robots.robot import HandCfg, JointTargetsCfg, PartCfg, RobotCfg

SHOULDER = (0.0, -0.7, 0.2)
"""Where the forearm's joints are [m]."""

GRASP_CENTER = (0.007, -0.05, 0.07)
"""The middle of what the fingers close around, in the palm's frame [m]."""


def _finger(name: str) -> dict[str, tuple[float, float]]:
    """Return the ranges of a finger's joints [rad]: sideways, then three that bend it."""
    return {f"{name}J3": (-0.436, 0.436), **{f"{name}J{number}": (0.0, 1.571) for number in (2, 1, 0)}}


HAND_RANGES: dict[str, tuple[float, float]] = {
    "WRJ1": (-0.524, 0.175),
    "WRJ0": (-0.785, 0.611),
    **_finger("FF"),
    **_finger("MF"),
    **_finger("RF"),
    "LFJ4": (0.0, 0.698),
    **_finger("LF"),
    "THJ4": (-1.047, 1.047),
    "THJ3": (0.0, 1.309),
    "THJ2": (-0.262, 0.262),
    "THJ1": (-0.524, 0.524),
    "THJ0": (-1.571, 0.0),
}
"""Range of each joint of the hand [rad], in the order of the benchmark's actions."""


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
