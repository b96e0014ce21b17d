# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The lift task, without a robot: a table, a cube, and what counts as lifting it."""

from __future__ import annotations

from dataclasses import MISSING

import isaaclab.sim as sim_utils
from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg
from isaaclab.managers import ObservationGroupCfg as ObsGroup
from isaaclab.managers import ObservationTermCfg as ObsTerm
from isaaclab.managers import RewardTermCfg as RewTerm
from isaaclab.managers import TerminationTermCfg as DoneTerm
from isaaclab.physics import PhysxAutoCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass
from isaaclab.utils.noise import UniformNoiseCfg
from isaaclab.visualizers import VisualizerCfg
from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg
from isaaclab_ov.physics import OvPhysxCfg
from isaaclab_physx.physics import PhysxCfg
from isaaclab_tasks.utils import PresetCfg, preset

from zprl.sim.isaaclab.mujoco import with_mujoco
from zprl.tasks.lift import mdp

CUBE_SIZE = 0.055
"""Edge length of the cube [m]."""

CONTROL_PERIOD = 0.05
"""Time between two actions [s]: 20 Hz."""

SUBSTEP = 0.01
"""Physics time step [s]; at 0.02 s no grasp survives the lift."""


@configclass
class PhysicsPresetsCfg(PresetCfg):
    """Physics engines, chosen by ``physics=NAME``; by default MuJoCo's, its own on a CPU and MuJoCo-Warp on a GPU."""

    # All substeps of a control step run in one engine call (num_substeps), as nothing in between needs Python.
    newton_mjwarp = NewtonCfg(
        solver_cfg=MJWarpSolverCfg(
            solver="newton",
            integrator="implicitfast",
            cone="pyramidal",
            impratio=1.0,
            # With 5 the friction of a grasp has not converged, and cubes slip out of pads that would hold ten times
            # their weight; from 10 on nothing changes. The CPU's engine stops as soon as it has converged.
            iterations=20,
            ls_iterations=50,
            njmax=96,
            nconmax=24,
            disable_sensors=True,
        ),
        num_substeps=round(CONTROL_PERIOD / SUBSTEP),
    )
    mujoco = with_mujoco(newton_mjwarp)
    isaacsim_physx = PhysxCfg(bounce_threshold_velocity=0.01)
    ovphysx = OvPhysxCfg()
    physx = PhysxAutoCfg(isaacsim_physx=isaacsim_physx, ovphysx=ovphysx)
    default = with_mujoco(newton_mjwarp, mjwarp_on_cuda=True)


@configclass
class LiftSceneCfg(InteractiveSceneCfg):
    """Robot, table and cube; the table's top is the plane z = 0, in which the robot's base stands."""

    robot: ArticulationCfg = MISSING  # type: ignore[assignment]

    table = AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Table",
        init_state=AssetBaseCfg.InitialStateCfg(pos=(0.35, 0.0, -0.02)),
        spawn=sim_utils.CuboidCfg(
            size=(1.1, 1.0, 0.04),
            collision_props=sim_utils.UsdPhysicsCollisionCfg(),
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.46, 0.38, 0.30), roughness=0.8),
        ),
    )

    object = RigidObjectCfg(
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

    light = AssetBaseCfg(
        prim_path="/World/Light", spawn=sim_utils.DomeLightCfg(intensity=2000.0, color=(0.95, 0.97, 1.0))
    )


@configclass
class ActionsCfg:
    """Actions, set by the robot."""

    arm_action: mdp.DeltaPoseIKActionCfg = MISSING  # type: ignore[assignment]
    gripper_action: mdp.BinaryJointPositionActionCfg = MISSING  # type: ignore[assignment]


@configclass
class ObservationsCfg:
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(ObsGroup):
        """What the policy sees; a real robot measures all of it."""

        joint_pos = ObsTerm(func=mdp.joint_pos_rel, noise=UniformNoiseCfg(n_min=-0.002, n_max=0.002))
        ee_pose = ObsTerm(
            func=mdp.body_pose_in_root_frame,
            params={"asset_cfg": MISSING, "offset": MISSING},
            noise=UniformNoiseCfg(n_min=-0.001, n_max=0.001),
        )
        object_pose = ObsTerm(func=mdp.object_pose_in_root_frame, noise=UniformNoiseCfg(n_min=-0.002, n_max=0.002))
        object_in_ee_frame = ObsTerm(
            func=mdp.object_position_in_body_frame,
            params={"asset_cfg": MISSING, "offset": MISSING},
            noise=UniformNoiseCfg(n_min=-0.002, n_max=0.002),
        )

        def __post_init__(self) -> None:
            self.enable_corruption = True
            self.concatenate_terms = True

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventCfg:
    """Initial states, drawn at every reset."""

    reset_robot = EventTermCfg(
        func=mdp.reset_joints_around_default,
        mode="reset",
        params={"spread": 0.05, "asset_cfg": SceneEntityCfg("robot", joint_names=["panda_joint.*"])},
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

    cube_mass = EventTermCfg(
        func=mdp.randomize_rigid_body_mass,  # type: ignore[arg-type]
        mode="reset",
        params={
            "asset_cfg": SceneEntityCfg("object"),
            "mass_distribution_params": (0.33, 3.0),
            "operation": "scale",
            "distribution": "log_uniform",
            "min_mass": 1.0e-3,
        },
    )
    # The pads' parameters rule their contacts with the cube, and the cube's those with the table.
    cube_friction = EventTermCfg(
        func=mdp.randomize_rigid_body_material,  # type: ignore[arg-type]
        mode="reset",
        params={
            "asset_cfg": SceneEntityCfg("object"),
            "static_friction_range": (0.5, 1.5),
            "dynamic_friction_range": (0.5, 1.5),
            "restitution_range": (0.0, 0.0),
            "num_buckets": 64,
            "make_consistent": True,
        },
    )
    finger_friction = EventTermCfg(
        func=mdp.randomize_rigid_body_material,  # type: ignore[arg-type]
        mode="reset",
        params={
            "asset_cfg": SceneEntityCfg("robot", body_names="panda_.*finger"),
            "static_friction_range": (0.5, 1.8),
            "dynamic_friction_range": (0.5, 1.8),
            "restitution_range": (0.0, 0.0),
            "num_buckets": 64,
            "make_consistent": True,
        },
    )
    arm_gains = EventTermCfg(
        func=mdp.randomize_actuator_gains,  # type: ignore[arg-type]
        mode="reset",
        params={
            "asset_cfg": SceneEntityCfg("robot", joint_names="panda_joint.*"),
            "stiffness_distribution_params": (0.67, 1.5),
            "damping_distribution_params": (0.67, 1.5),
            "operation": "scale",
            "distribution": "log_uniform",
        },
    )


@configclass
class HeavilyRandomizedEventCfg(RandomizedEventCfg):
    """Physics beyond what a robot should meet."""

    def __post_init__(self) -> None:
        self.cube_mass.params["mass_distribution_params"] = (0.25, 4.0)
        for term, friction in ((self.cube_friction, (0.3, 2.0)), (self.finger_friction, (0.3, 2.0))):
            term.params["static_friction_range"] = term.params["dynamic_friction_range"] = friction
        for gain in ("stiffness", "damping"):
            self.arm_gains.params[f"{gain}_distribution_params"] = (0.55, 1.8)


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
class LiftEnvCfg(ManagerBasedRLEnvCfg):
    """Lift a cube off the table, by its centre to 0.15 m, within 4 s."""

    # Newton's worlds never touch, so they may share one origin, which makes an episode's outcome independent of the
    # world it runs in to the last bit; PhysX needs them apart.
    scene: LiftSceneCfg = LiftSceneCfg(
        num_envs=256,
        env_spacing=preset(default=0.0, isaacsim_physx=2.5, ovphysx=2.5, physx=2.5),  # type: ignore[arg-type]
        replicate_physics=True,
    )
    observations: ObservationsCfg = ObservationsCfg()
    actions: ActionsCfg = ActionsCfg()
    rewards: RewardsCfg = RewardsCfg()
    terminations: TerminationsCfg = TerminationsCfg()
    events: EventPresetsCfg = EventPresetsCfg()

    def __post_init__(self) -> None:
        substeps = round(CONTROL_PERIOD / SUBSTEP)
        self.decimation = preset(default=1, isaacsim_physx=substeps, ovphysx=substeps, physx=substeps)  # type: ignore
        self.sim.dt = preset(default=CONTROL_PERIOD, isaacsim_physx=SUBSTEP, ovphysx=SUBSTEP, physx=SUBSTEP)  # type: ignore
        self.sim.render_interval = 1
        self.sim.physics = PhysicsPresetsCfg()  # type: ignore[assignment]
        self.episode_length_s = 4.0
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(1.25, 0.95, 0.75), lookat=(0.35, 0.0, 0.2))
