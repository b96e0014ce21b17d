# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A robot with one arm at a table with one object on it, whatever it is to do with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from typing import Any

import torch

import isaaclab.sim as sim_utils
from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.managers import (
    EventTermCfg,
    ObservationGroupCfg,
    ObservationTermCfg,
    SceneEntityCfg,
    TerminationTermCfg,
)
from isaaclab.utils import configclass
from isaaclab.utils.noise import UniformNoiseCfg
from isaaclab.visualizers import VisualizerCfg

from zprl.tasks import mdp
from zprl.tasks.common.env_cfg import DisturbanceTargetsCfg, TaskEnvCfg, TaskSceneCfg, TerminationsCfg
from zprl.tasks.common.randomized import PhysicsRanges, randomized_physics
from zprl.tasks.robots import RobotCfg

CONTROL_PERIOD = 0.05
"""Time between two actions [s]: 20 Hz."""

DROPPED = -0.2
"""Height below which an object has fallen off the table [m]: below the floor of the deepest bin in a table's place."""


def table_top(
    center: tuple[float, float], size: tuple[float, float, float], friction: float | None = None
) -> AssetBaseCfg:
    """Return a table whose top is the plane z = 0.

    Args:
        center: The top's centre [m].
        size: Its edge lengths [m].
        friction: Its coefficient of sliding friction, or None for the engine's. Of two things that touch, MuJoCo takes
            the larger one.
    """
    rough = None
    if friction is not None:
        rough = sim_utils.RigidBodyMaterialCfg(static_friction=friction, dynamic_friction=friction)
    return AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Table",
        init_state=AssetBaseCfg.InitialStateCfg(pos=(*center, -size[2] / 2)),
        spawn=sim_utils.CuboidCfg(
            size=size,
            collision_props=sim_utils.UsdPhysicsCollisionCfg(),
            physics_material=rough,
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.46, 0.38, 0.30), roughness=0.8),
        ),
    )


def daylight() -> AssetBaseCfg:
    """Return the light of all worlds."""
    return AssetBaseCfg(
        prim_path="/World/Light", spawn=sim_utils.DomeLightCfg(intensity=2000.0, color=(0.95, 0.97, 1.0))
    )


@configclass
class TabletopSceneCfg(TaskSceneCfg):
    """Robot, table and object; the table's top is the plane z = 0, in which the robot's base stands."""

    robot: ArticulationCfg = MISSING  # type: ignore[assignment]
    table: AssetBaseCfg = table_top((0.35, 0.0), (1.1, 1.0, 0.04))
    object: RigidObjectCfg = MISSING  # type: ignore[assignment]
    light: AssetBaseCfg = daylight()


def measured(func: Callable[..., torch.Tensor], error: float, **params: Any) -> ObservationTermCfg:
    """Return an observation term whose every number is off by up to ``error``, uniformly, if the group is corrupted."""
    return ObservationTermCfg(func=func, params=params, noise=UniformNoiseCfg(n_min=-error, n_max=error))


@configclass
class TabletopObservationsCfg:
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(ObservationGroupCfg):
        """What the policy sees; a real robot measures all of it. The end effector is the robot's."""

        enable_corruption = True
        joint_pos = measured(mdp.joint_pos_rel, 0.002)
        ee_pose = measured(mdp.body_pose_in_root_frame, 0.001)
        object_pose = measured(mdp.object_pose_in_root_frame, 0.002)
        object_in_ee_frame = measured(mdp.object_position_in_body_frame, 0.002)

    policy: PolicyCfg = PolicyCfg()


@configclass
class TabletopEventCfg:
    """Initial states, drawn at every reset; a family adds where its things are."""

    reset_robot = EventTermCfg(
        func=mdp.reset_joints_around_default, mode="reset", params={"spread": 0.05, "asset_cfg": MISSING}
    )


@configclass
class TabletopTerminationsCfg(TerminationsCfg):
    """Ends of an episode, of which one is that the object has fallen off the table.

    There is no floor below: the object would fall on, and observations of it spoil the learner's running statistics.
    """

    object_dropping = TerminationTermCfg(
        func=mdp.root_height_below_minimum, params={"minimum_height": DROPPED, "asset_cfg": SceneEntityCfg("object")}
    )


def placed(
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    height: float,
    yaw_range: tuple[float, float] = (0.0, 0.0),
    asset: str = "object",
    **params: Any,
) -> EventTermCfg:
    """Return a term that puts a thing somewhere on the table at every reset.

    Args:
        x_range: Range of x in the environment's frame [m].
        y_range: Range of y in the environment's frame [m].
        height: z of the thing's frame [m].
        yaw_range: Range of the yaw angle [rad].
        asset: The thing, by its name in the scene.
        **params: More of :func:`zprl.tasks.mdp.reset_object_pose_uniform`.
    """
    ranges = {"x_range": x_range, "y_range": y_range, "yaw_range": yaw_range, "height": height}
    named = {} if asset == "object" else {"asset_cfg": SceneEntityCfg(asset)}
    return EventTermCfg(func=mdp.reset_object_pose_uniform, mode="reset", params={**ranges, **named, **params})


def randomized(events: TabletopEventCfg) -> Any:
    """Return events as presets that draw the object, the fingers and the arm; see :func:`randomized_physics`."""
    train = PhysicsRanges(mass=(0.33, 3.0), friction=(0.5, 1.5), fingers=(0.5, 1.8), gains=(0.67, 1.5))
    heavy = PhysicsRanges(mass=(0.25, 4.0), friction=(0.3, 2.0), fingers=(0.3, 2.0), gains=(0.55, 1.8))
    return randomized_physics(events, SceneEntityCfg("object"), train, heavy)


@configclass
class TabletopEnvCfg(TaskEnvCfg):
    """An environment whose family says what the object is, how it is reset, and what is success.

    A success term that looks at the end effector as well has its parameters ``asset_cfg`` and ``offset``, which
    :meth:`use_robot` completes.
    """

    scene: TabletopSceneCfg = TabletopSceneCfg()
    observations: TabletopObservationsCfg = TabletopObservationsCfg()
    terminations: TabletopTerminationsCfg = TabletopTerminationsCfg()
    tracked_terms: list[str] = ["ee_pose"]
    disturbance_targets: DisturbanceTargetsCfg = DisturbanceTargetsCfg(
        object_name="object",
        object_pose_terms=["object_pose"],
        object_position_terms={"object_in_ee_frame": "ee_pose"},
    )

    def __post_init__(self) -> None:
        # From the side that the only light of videos shines on.
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(1.45, -1.05, 0.75), lookat=(0.26, 0.0, 0.32))

    def show_place_of(self, asset: str) -> None:
        """Let the policy see where another thing is, as the term ``ASSET_position``.

        Args:
            asset: The thing, by its name in the scene.
        """
        term = measured(mdp.object_position_in_root_frame, 0.002, object_cfg=SceneEntityCfg(asset))
        setattr(self.observations.policy, f"{asset}_position", term)

    def use_robot(self, robot: RobotCfg) -> None:
        """See :meth:`TaskEnvCfg.use_robot`; the robot has one arm."""
        super().use_robot(robot)
        arm = robot.only_arm()
        observed = (self.observations.policy.ee_pose, self.observations.policy.object_in_ee_frame)
        successes = (self.rewards.success, self.terminations.success)
        for term in (*observed, *(term for term in successes if "asset_cfg" in term.params)):
            term.params.update(arm.end_effector())
        self.complete_events(robot)
