# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A robot with two arms between or at which objects lie."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isaaclab.managers import ObservationGroupCfg, SceneEntityCfg, TerminationTermCfg
from isaaclab.utils import configclass
from isaaclab.visualizers import VisualizerCfg

from zprl.tasks import mdp
from zprl.tasks.common.env_cfg import DisturbanceTargetsCfg, TaskEnvCfg
from zprl.tasks.common.tabletop import DROPPED, TabletopSceneCfg, TabletopTerminationsCfg, measured
from zprl.tasks.robots import RobotCfg


@configclass
class TwoArmObservationsCfg:
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(ObservationGroupCfg):
        """What the policy sees; a real robot measures all of it. The end effectors are the robot's."""

        enable_corruption = True
        joint_pos = measured(mdp.joint_pos_rel, 0.002)
        left_ee_pose = measured(mdp.body_pose_in_root_frame, 0.001)
        right_ee_pose = measured(mdp.body_pose_in_root_frame, 0.001)
        object_pose = measured(mdp.object_pose_in_root_frame, 0.002)
        object_in_left_ee_frame = measured(mdp.object_position_in_body_frame, 0.002)
        object_in_right_ee_frame = measured(mdp.object_position_in_body_frame, 0.002)

    policy: PolicyCfg = PolicyCfg()


@configclass
class TwoArmEnvCfg(TaskEnvCfg):
    """An environment whose family says what the objects are, how they are reset, and what is success.

    A success term that looks at the end effectors as well has its parameters ``asset_cfg`` and ``offset``, which
    :meth:`use_robot` completes.
    """

    scene: TabletopSceneCfg = TabletopSceneCfg()
    observations: TwoArmObservationsCfg = TwoArmObservationsCfg()
    terminations: TabletopTerminationsCfg = TabletopTerminationsCfg()
    tracked_terms: list[str] = ["left_ee_pose", "right_ee_pose"]
    disturbance_targets: DisturbanceTargetsCfg = DisturbanceTargetsCfg(
        object_name="object",
        object_pose_terms=["object_pose"],
        object_position_terms={
            "object_in_left_ee_frame": "left_ee_pose",
            "object_in_right_ee_frame": "right_ee_pose",
        },
    )

    def __post_init__(self) -> None:
        # From the side, so that neither arm hides the other; the light of videos shines from there.
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(2.9, -0.3, 1.6), lookat=(0.0, 0.0, 0.15))

    def add_object(self, asset: str, seen_from: Iterable[str]) -> None:
        """Let the policy see another object, as the terms ``ASSET_pose`` and ``ASSET_in_SIDE_ee_frame``.

        An episode ends when it falls off the table, as when the first object does.

        Args:
            asset: The object, by its name in the scene.
            seen_from: Sides of the arms that the policy sees it from: of those that have to do with it.
        """
        policy: Any = self.observations.policy
        entity = SceneEntityCfg(asset)
        setattr(policy, f"{asset}_pose", measured(mdp.object_pose_in_root_frame, 0.002, object_cfg=entity))
        for side in seen_from:
            term = measured(mdp.object_position_in_body_frame, 0.002, object_cfg=SceneEntityCfg(asset))
            setattr(policy, f"{asset}_in_{side}_ee_frame", term)
        dropping = TerminationTermCfg(
            func=mdp.root_height_below_minimum,
            params={"minimum_height": DROPPED, "asset_cfg": SceneEntityCfg(asset)},
        )
        setattr(self.terminations, f"{asset}_dropping", dropping)

    def use_robot(self, robot: RobotCfg) -> None:
        """See :meth:`TaskEnvCfg.use_robot`; the robot has two arms."""
        super().use_robot(robot)
        arms = robot.arms_by_side()
        for side, arm in arms.items():
            for name, term in vars(self.observations.policy).items():
                if name == f"{side}_ee_pose" or name.endswith(f"_in_{side}_ee_frame"):
                    term.params.update(arm.end_effector())
        left, right = arms.values()
        hands = {
            "asset_cfg": SceneEntityCfg(left.asset_name, body_names=[left.body, right.body]),
            "offset": left.offset,
        }
        for term in (self.rewards.success, self.terminations.success):
            if "asset_cfg" in term.params:
                term.params.update(hands)
        self.complete_events(robot)
