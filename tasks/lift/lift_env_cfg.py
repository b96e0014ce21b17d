# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The lift task, without a robot: a table, a cube, and what counts as lifting it."""

from __future__ import annotations

from dataclasses import MISSING

import isaaclab.sim as sim_utils
from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg
from isaaclab.managers import ObservationGroupCfg as ObsGroup
from isaaclab.managers import ObservationTermCfg as ObsTerm
from isaaclab.managers import RewardTermCfg as RewTerm
from isaaclab.managers import TerminationTermCfg as DoneTerm
from isaaclab.utils import configclass
from isaaclab.utils.noise import UniformNoiseCfg
from isaaclab.visualizers import VisualizerCfg
from isaaclab_tasks.utils import PresetCfg

from zprl.tasks.common import (
    LIGHT,
    TABLE,
    DisturbanceTargetsCfg,
    TaskEnvCfg,
    TaskSceneCfg,
    randomized_friction,
    randomized_gains,
    randomized_mass,
)
from zprl.tasks.lift import mdp
from zprl.tasks.robots import RobotCfg

CUBE_SIZE = 0.055
"""Edge length of the cube [m]."""

CONTROL_PERIOD = 0.05
"""Time between two actions [s]: 20 Hz."""

SUBSTEP = 0.01
"""Physics time step [s]; at 0.02 s no grasp survives the lift."""


@configclass
class LiftSceneCfg(TaskSceneCfg):
    """Robot, table and cube."""

    robot: ArticulationCfg = MISSING  # type: ignore[assignment]
    table: AssetBaseCfg = TABLE
    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.5, 0.0, CUBE_SIZE / 2)),
        spawn=sim_utils.CuboidCfg(
            size=(CUBE_SIZE, CUBE_SIZE, CUBE_SIZE),
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(),
            mass_props=sim_utils.MassCfg(mass=0.1),
            collision_props=sim_utils.UsdPhysicsCollisionCfg(),
            physics_material=sim_utils.RigidBodyMaterialCfg(static_friction=1.0, dynamic_friction=1.0),
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.85, 0.25, 0.12), roughness=0.5),
        ),
    )
    light: AssetBaseCfg = LIGHT


@configclass
class ObservationsCfg:
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(ObsGroup):
        """What the policy sees; a real robot measures all of it. The end effector is the robot's."""

        joint_pos = ObsTerm(func=mdp.joint_pos_rel, noise=UniformNoiseCfg(n_min=-0.002, n_max=0.002))
        ee_pose = ObsTerm(func=mdp.body_pose_in_root_frame, noise=UniformNoiseCfg(n_min=-0.001, n_max=0.001))
        object_pose = ObsTerm(func=mdp.object_pose_in_root_frame, noise=UniformNoiseCfg(n_min=-0.002, n_max=0.002))
        object_in_ee_frame = ObsTerm(
            func=mdp.object_position_in_body_frame, noise=UniformNoiseCfg(n_min=-0.002, n_max=0.002)
        )

        def __post_init__(self) -> None:
            self.enable_corruption = True
            self.concatenate_terms = True

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventCfg:
    """Initial states, drawn at every reset."""

    reset_robot = EventTermCfg(
        func=mdp.reset_joints_around_default, mode="reset", params={"spread": 0.05, "asset_cfg": MISSING}
    )
    reset_object = EventTermCfg(
        func=mdp.reset_object_pose_uniform,
        mode="reset",
        params={
            "x_range": (0.42, 0.58),
            "y_range": (-0.16, 0.16),
            "yaw_range": (-0.78, 0.78),
            "height": CUBE_SIZE / 2,
        },
    )


@configclass
class RandomizedEventCfg(EventCfg):
    """Physics drawn anew at every reset, over what a real cube and a real arm may be; after the initial state."""

    cube_mass = randomized_mass(SceneEntityCfg("object"), (0.33, 3.0))
    # The pads' parameters rule their contacts with the cube, and the cube's those with the table.
    cube_friction = randomized_friction(SceneEntityCfg("object"), (0.5, 1.5))
    finger_friction = randomized_friction(MISSING, (0.5, 1.8))
    arm_gains = randomized_gains(MISSING, (0.67, 1.5))


@configclass
class HeavilyRandomizedEventCfg(RandomizedEventCfg):
    """Physics beyond what a robot should meet."""

    cube_mass = randomized_mass(SceneEntityCfg("object"), (0.25, 4.0))
    cube_friction = randomized_friction(SceneEntityCfg("object"), (0.3, 2.0))
    finger_friction = randomized_friction(MISSING, (0.3, 2.0))
    arm_gains = randomized_gains(MISSING, (0.55, 1.8))


@configclass
class EventPresetsCfg(PresetCfg):
    """Randomisation, chosen by ``presets=randomize_train``; by default only initial states are drawn."""

    randomize_none = EventCfg()
    randomize_train = RandomizedEventCfg()
    randomize_heavy = HeavilyRandomizedEventCfg()
    default = EventCfg()


@configclass
class RewardsCfg:
    """Sparse reward: one unit for the step that lifts the cube."""

    # The reward manager multiplies by the step's duration, so this weight makes it one unit per success.
    success = RewTerm(func=mdp.object_lifted, weight=1.0 / CONTROL_PERIOD, params={"minimal_height": 0.15})


@configclass
class TerminationsCfg:
    """Ends of an episode."""

    time_out = DoneTerm(func=mdp.time_out, time_out=True)
    success = DoneTerm(func=mdp.object_lifted, params={"minimal_height": 0.15})
    non_finite_state = DoneTerm(func=mdp.non_finite_state)


@configclass
class LiftEnvCfg(TaskEnvCfg):
    """Lift a cube off the table, by its centre to 0.15 m, within 4 s."""

    scene: LiftSceneCfg = LiftSceneCfg()
    observations: ObservationsCfg = ObservationsCfg()
    rewards: RewardsCfg = RewardsCfg()
    terminations: TerminationsCfg = TerminationsCfg()
    events: EventPresetsCfg = EventPresetsCfg()
    tracked_terms: list[str] = ["ee_pose"]
    disturbance_targets: DisturbanceTargetsCfg = DisturbanceTargetsCfg(
        object_name="object",
        object_pose_terms=["object_pose"],
        object_position_terms={"object_in_ee_frame": "ee_pose"},
    )

    def __post_init__(self) -> None:
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=96, nconmax=24)
        self.episode_length_s = 4.0
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(1.25, 0.95, 0.75), lookat=(0.35, 0.0, 0.2))

    def use_robot(self, robot: RobotCfg) -> None:
        """See :meth:`TaskEnvCfg.use_robot`; the robot has one arm."""
        super().use_robot(robot)
        arm = robot.only_arm()
        for term in (self.observations.policy.ee_pose, self.observations.policy.object_in_ee_frame):
            term.params.update(arm.end_effector())
        joints, fingers = robot.arm_joints()[arm.asset_name], robot.fingers()[arm.asset_name]
        for events in vars(self.events).values() if isinstance(self.events, PresetCfg) else [self.events]:
            events.reset_robot.params["asset_cfg"] = SceneEntityCfg(arm.asset_name, joint_names=joints)
            if isinstance(events, RandomizedEventCfg):
                events.finger_friction.params["asset_cfg"] = SceneEntityCfg(arm.asset_name, body_names=fingers)
                events.arm_gains.params["asset_cfg"] = SceneEntityCfg(arm.asset_name, joint_names=joints)
