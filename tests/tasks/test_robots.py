# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Robots as configurations: what a task gets from one, for one arm, two arms and two robots; no simulator runs."""

import re
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest

from isaaclab.assets import ArticulationCfg
from isaaclab.managers import ObservationGroupCfg, ObservationTermCfg
from isaaclab.sim import UsdFileCfg
from isaaclab.utils import configclass, validate

import zprl
from zprl.tasks import mdp
from zprl.tasks.common import TaskEnvCfg, TaskSceneCfg
from zprl.tasks.robots import ArmCfg, GripperCfg, RobotCfg
from zprl.utils.errors import ZprlError

SCALE = (0.01, 0.01, 0.01, 0.1, 0.1, 0.1)


def articulation(name):
    return ArticulationCfg(
        prim_path=f"{{ENV_REGEX_NS}}/{name}", spawn=UsdFileCfg(usd_path=f"/robots/{name}.usd"), actuators={}
    )


def parts(side, asset):
    """Return an arm and a gripper of one side of a robot."""
    return {
        f"{side}_arm_action": ArmCfg(
            asset_name=asset, joints=[f"{side}_joint.*"], body=f"{side}_wrist", offset=(0.0, 0.0, 0.1), scale=SCALE
        ),
        f"{side}_gripper_action": GripperCfg(
            asset_name=asset,
            joints=[f"{side}_slide"],
            fingers=[f"{side}_tip.*"],
            limits=(0.0, 1.0),
            open={f"{side}_slide": 0.05},
            closed={f"{side}_slide": 0.0},
        ),
    }


TWO_ARMS_ON_A_TORSO = RobotCfg(
    articulations={"robot": articulation("Torso")}, parts={**parts("left", "robot"), **parts("right", "robot")}
)
TWO_ROBOTS = RobotCfg(
    articulations={"left": articulation("Left"), "right": articulation("Right")},
    parts={**parts("left", "left"), **parts("right", "right")},
)


@configclass
class HandoverEnvCfg(TaskEnvCfg):
    """A family for robots with any number of arms: it observes every end effector."""

    @configclass
    class ObservationsCfg:
        policy: ObservationGroupCfg = ObservationGroupCfg()

    scene: TaskSceneCfg = TaskSceneCfg(num_envs=4)
    observations: ObservationsCfg = ObservationsCfg()
    rewards: dict = {}
    terminations: dict = {}
    robot_of_the_test: RobotCfg = MISSING  # type: ignore[assignment]

    def __post_init__(self):
        self.use_physics(0.1, 0.02, njmax=64, nconmax=32)
        self.episode_length_s = 5.0
        self.use_robot(self.robot_of_the_test)

    def use_robot(self, robot):
        super().use_robot(robot)
        self.tracked_terms = []
        for name, arm in robot.arms().items():
            term = f"{name.removesuffix('_arm_action')}_ee_pose"
            pose = ObservationTermCfg(func=mdp.body_pose_in_root_frame, params=arm.end_effector())
            setattr(self.observations.policy, term, pose)
            self.tracked_terms.append(term)


@pytest.mark.parametrize(
    ("robot", "assets"), [(TWO_ARMS_ON_A_TORSO, ["robot", "robot"]), (TWO_ROBOTS, ["left", "right"])]
)
def test_two_arms_make_a_complete_environment_configuration(robot, assets):
    cfg = HandoverEnvCfg(robot_of_the_test=robot)
    assert validate(cfg) == []
    for name in robot.articulations:
        assert getattr(cfg.scene, name).prim_path == robot.articulations[name].prim_path
        assert getattr(cfg.scene, name) is not robot.articulations[name]
    terms = ["left_arm_action", "left_gripper_action", "right_arm_action", "right_gripper_action"]
    assert list(vars(cfg.actions)) == list(cfg.action_limits) == list(cfg.idle_action) == terms
    assert [getattr(cfg.actions, name).asset_name for name in terms] == [assets[0]] * 2 + [assets[1]] * 2
    assert list(cfg.action_limits.values()) == [(-1.0, 1.0), (0.0, 1.0)] * 2
    assert list(cfg.idle_action.values()) == [[0.0] * 6, [0.0]] * 2
    arm = cfg.actions.right_arm_action  # type: ignore[attr-defined]
    assert (arm.body_name, arm.joint_names, arm.scale) == ("right_wrist", ["right_joint.*"], SCALE)
    assert arm.body_offset.pos == (0.0, 0.0, 0.1)
    gripper = cfg.actions.left_gripper_action  # type: ignore[attr-defined]
    assert (gripper.open_command_expr, gripper.close_command_expr) == ({"left_slide": 0.05}, {"left_slide": 0.0})
    assert cfg.tracked_terms == ["left_ee_pose", "right_ee_pose"]
    seen = [getattr(cfg.observations.policy, term).params["asset_cfg"] for term in cfg.tracked_terms]
    assert [(entity.name, entity.body_names) for entity in seen] == [
        (assets[0], ["left_wrist"]),
        (assets[1], ["right_wrist"]),
    ]
    together = {"robot": ["left_tip.*", "right_tip.*"]}
    apart = {"left": ["left_tip.*"], "right": ["right_tip.*"]}
    assert cfg.disturbance_targets.fingers == (together if assets[0] == "robot" else apart)
    joints = [joint for names in cfg.disturbance_targets.arm_joints.values() for joint in names]
    assert joints == ["left_joint.*", "right_joint.*"]


def test_time_steps_follow_from_period_and_substep():
    from isaaclab_tasks.utils import resolve_presets

    def resolved(physics: str) -> Any:
        return resolve_presets(HandoverEnvCfg(robot_of_the_test=TWO_ROBOTS), (physics,))

    newton = resolved("newton_mjwarp")
    assert (newton.decimation, newton.sim.dt, newton.sim.physics.num_substeps) == (1, 0.1, 5)
    assert (newton.sim.physics.solver_cfg.njmax, newton.sim.physics.solver_cfg.nconmax) == (64, 32)
    physx = resolved("ovphysx")
    assert (physx.decimation, physx.sim.dt, physx.scene.env_spacing) == (5, 0.02, 2.5)


def test_an_arm_moves_its_target_if_it_is_told_to():
    arm = parts("left", "robot")["left_arm_action"]
    assert type(arm.action()) is mdp.DeltaPoseIKActionCfg
    arm.moves_target = True
    term = arm.action()
    assert type(term) is mdp.TargetPoseIKActionCfg and (term.body_name, term.scale) == ("left_wrist", SCALE)


def test_a_task_for_one_arm_refuses_two():
    from zprl.tasks.lift.lift_env_cfg import LiftEnvCfg

    with pytest.raises(ZprlError, match=r"one arm, and this robot has left_arm_action, right_arm_action\.$"):
        LiftEnvCfg().use_robot(TWO_ARMS_ON_A_TORSO)


def test_another_robot_lifts_in_the_same_task():
    """Every preset of the family's events takes the robot's joints and fingers."""
    from zprl.tasks.lift.lift_env_cfg import LiftEnvCfg

    cfg = LiftEnvCfg()
    cfg.use_robot(RobotCfg(articulations={"robot": articulation("One")}, parts=parts("left", "robot")))
    assert validate(cfg) == []
    for name in ("default", "randomize_none", "randomize_train", "randomize_heavy"):
        events = getattr(cfg.events, name)
        assert events.reset_robot.params["asset_cfg"].joint_names == ["left_joint.*"]
        if hasattr(events, "arm_gains"):
            assert events.arm_gains.params["asset_cfg"].joint_names == ["left_joint.*"]
            assert events.finger_friction.params["asset_cfg"].body_names == ["left_tip.*"]


def test_only_a_robots_own_files_name_it():
    """A robot's names are the words of its file's name. A task id in a help text is an example and names no joint."""
    package = Path(zprl.__file__).parent
    robots = package / "tasks" / "robots"
    modules = [path for path in robots.glob("*.py") if path.stem not in ("__init__", "robot")]
    names = {word for path in modules for word in path.stem.split("_")} - {"dual"}  # says how many, and is no name
    assert {"franka", "panda"} <= names
    own = [*modules, robots / "assets", *package.glob("tasks/*/config/*")]
    naming = [
        path
        for root in (package, package / "tasks")  # the search follows no links
        for path in root.rglob("*.py*")
        if path.suffix in (".py", ".pyi")
        and not any(path.is_relative_to(place) for place in own)
        and re.search("|".join(names), re.sub(r"Zprl-\w+-\w+|(?i:pandas)", "", path.read_text()), re.IGNORECASE)
    ]
    assert not naming


def test_keys_of_files_hold_no_path_and_nothing_that_shapes_no_episode():
    from zprl.runs.paths import env_settings
    from zprl.sim.isaaclab import resolve_task

    def settings(*overrides):
        return env_settings(resolve_task("Zprl-Lift-Franka", None, list(overrides))[0])

    reference = settings()
    assert "/robots/" not in str(reference) and str(Path(zprl.__file__).parent) not in str(reference)
    assert settings("env.tracked_terms=['object_pose']", "env.disturbance_targets.object_name=table") == reference
    assert settings("env.idle_action.gripper_action=[-1.0]") != reference
