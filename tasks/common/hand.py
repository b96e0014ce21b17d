# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A robot with one hand of many fingers, whatever it is to do."""

from __future__ import annotations

from dataclasses import MISSING
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg, AssetBaseCfg
from isaaclab.managers import EventTermCfg, ObservationGroupCfg, SceneEntityCfg
from isaaclab.utils import configclass
from isaaclab.visualizers import VisualizerCfg

from zprl.tasks import mdp
from zprl.tasks.common.compound import Vec3
from zprl.tasks.common.env_cfg import TaskEnvCfg, TaskSceneCfg
from zprl.tasks.common.randomized import PhysicsRanges, randomized_physics
from zprl.tasks.common.tabletop import daylight, measured, table_top
from zprl.tasks.robots import RobotCfg

HAND_CONTROL_PERIOD = 0.02
"""Time between two actions [s]: 50 Hz, as the paper acts, which repeats each action of the benchmark's 100 Hz."""

HAND_SUBSTEP = 0.01
"""Physics time step [s]; the benchmark's is 2 ms, which costs several times as much."""

Quat = tuple[float, float, float, float]


@configclass
class HandSceneCfg(TaskSceneCfg):
    """Hand and table; the table's top is the plane z = 0."""

    robot: ArticulationCfg = MISSING  # type: ignore[assignment]
    table: AssetBaseCfg = table_top((0.0, 0.0), (0.9, 0.9, 0.05))
    light: AssetBaseCfg = daylight()


@configclass
class HandObservationsCfg:
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(ObservationGroupCfg):
        """What the policy sees of the hand; a family adds what it sees of its things."""

        enable_corruption = True
        joint_pos = measured(mdp.joint_pos_rel, 0.002)
        palm_pose = measured(mdp.body_pose_in_root_frame, 0.001)

    policy: PolicyCfg = PolicyCfg()


@configclass
class HandEventCfg:
    """Initial states, drawn at every reset; a family adds where its things are."""

    reset_robot = EventTermCfg(func=mdp.reset_joints_around_default, mode="reset", params={"spread": 0.02})


def hinged(
    name: str, usd: Path, joints: dict[str, tuple[float, float]], pos: Vec3, rot: Quat = (0.0, 0.0, 0.0, 1.0)
) -> ArticulationCfg:
    """Return a thing whose base stands where an episode's beginning puts it, and whose parts only friction holds.

    Args:
        name: Name of its prim.
        usd: Its file.
        joints: Friction loss [N m or N] and damping [N m s/rad or N s/m] of each of its joints.
        pos: Where it is first [m].
        rot: Its orientation, a quaternion (x, y, z, w).
    """
    return ArticulationCfg(
        prim_path=f"{{ENV_REGEX_NS}}/{name}",
        spawn=sim_utils.UsdFileCfg(usd_path=str(usd)),
        init_state=ArticulationCfg.InitialStateCfg(pos=pos, rot=rot, joint_pos={".*": 0.0}),
        actuators={
            joint: ImplicitActuatorCfg(
                joint_names_expr=[joint], stiffness=0.0, damping=damping, friction=friction, armature=0.001
            )
            for joint, (friction, damping) in joints.items()
        },
    )


def randomized_hand(events: HandEventCfg, thing: SceneEntityCfg) -> Any:
    """Return events as presets that draw what the hand moves, and the hand; see :func:`randomized_physics`."""
    train = PhysicsRanges(mass=(0.67, 1.5), friction=(0.6, 1.4), fingers=(0.6, 1.4), gains=(0.8, 1.25))
    heavy = PhysicsRanges(mass=(0.4, 2.5), friction=(0.4, 1.8), fingers=(0.4, 1.8), gains=(0.6, 1.6))
    return randomized_physics(events, thing, train, heavy)


@configclass
class HandEnvCfg(TaskEnvCfg):
    """An environment whose family says what there is beside the hand, how it is reset, and what is success."""

    scene: HandSceneCfg = HandSceneCfg()
    observations: HandObservationsCfg = HandObservationsCfg()
    tracked_terms: list[str] = ["palm_pose"]
    joint_terms: list[str] = ["joint_pos"]

    def __post_init__(self) -> None:
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(0.5, -0.55, 0.6), lookat=(0.0, -0.15, 0.2))

    def use_robot(self, robot: RobotCfg) -> None:
        """See :meth:`TaskEnvCfg.use_robot`; the robot has one hand."""
        super().use_robot(robot)
        hand = robot.only_hand()
        self.observations.policy.palm_pose.params.update(hand.end_effector())
        self.complete_events(robot)
