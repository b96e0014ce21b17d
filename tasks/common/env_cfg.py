# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The configuration that every task's environment derives from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any

from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.managers import RewardTermCfg, SceneEntityCfg, TerminationTermCfg
from isaaclab.physics import PhysxAutoCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg
from isaaclab_ov.physics import OvPhysxCfg
from isaaclab_physx.physics import PhysxCfg
from isaaclab_tasks.utils import PresetCfg, preset

import zprl.tasks.mdp.descriptions  # noqa: F401 - says what the shared terms mean
from zprl.sim.isaaclab.cameras import PolicyCameraCfg
from zprl.sim.isaaclab.mujoco import with_mujoco
from zprl.tasks import mdp
from zprl.tasks.robots.robot import RobotCfg
from zprl.utils.errors import ZprlError


@configclass
class TaskSceneCfg(InteractiveSceneCfg):
    """The worlds of a task.

    A family lists its assets in the order in which the engines are to number them: its robots, by the names under
    which :class:`zprl.tasks.robots.RobotCfg` has them, the table, its objects and the light.
    """

    num_envs: int = 256
    # Newton's worlds never touch, so they may share one origin, which makes an episode's outcome independent of the
    # world it runs in to the last bit; PhysX needs them apart.
    env_spacing: float = preset(default=0.0, isaacsim_physx=2.5, ovphysx=2.5, physx=2.5)  # type: ignore[assignment]
    replicate_physics: bool = True


@configclass
class ActionsCfg:
    """Actions; the robot's parts add their terms."""


@configclass
class RewardsCfg:
    """Sparse reward: one unit for the step that succeeds."""

    success: RewardTermCfg = MISSING  # type: ignore[assignment]


@configclass
class TerminationsCfg:
    """Ends of an episode, by the names that :mod:`zprl.sim.isaaclab.task_env` knows."""

    time_out = TerminationTermCfg(func=mdp.time_out, time_out=True)
    success: TerminationTermCfg = MISSING  # type: ignore[assignment]
    non_finite_state = TerminationTermCfg(func=mdp.non_finite_state)


@configclass
class DisturbanceTargetsCfg:
    """What of a task a disturbance can change, as :mod:`zprl.robustness` asks for it."""

    object_name: str | None = None
    """The object that is manipulated, by its name in the scene, or None if there is none."""

    object_pose_terms: list[str] = []
    """Observation terms with that object's pose in the robot's root frame, as 9 numbers."""

    object_position_terms: dict[str, str] = {}
    """Observation terms with that object's position in another frame, each with the term of that frame's pose in the
    robot's root frame."""

    fingers: dict[str, list[str]] = {}
    """The bodies that grasp as regular expressions, by articulation; filled from the robot."""

    arm_joints: dict[str, list[str]] = {}
    """The joints of arms and hands as regular expressions, by articulation; filled from the robot."""


@configclass
class TaskEnvCfg(ManagerBasedRLEnvCfg):
    """An environment, with what the layers below the tasks have to know of it.

    A family calls :meth:`use_physics` and :meth:`use_success` in ``__post_init__``. Its configuration for a robot calls
    :meth:`use_robot` there, which the family extends where its own terms concern the robot.
    """

    actions: ActionsCfg = ActionsCfg()
    rewards: RewardsCfg = RewardsCfg()
    terminations: TerminationsCfg = TerminationsCfg()

    tracked_terms: list[str] = MISSING  # type: ignore[assignment]
    """Observation terms of the group ``policy`` whose first three numbers are an end effector's position [m], one per
    arm; smoothness is measured on them."""

    joint_terms: list[str] = []
    """Observation terms that are positions of joints [rad], whose smoothness is measured as well."""

    action_limits: dict[str, tuple[float, float]] = {}
    """Lower and upper limit of the elements of each action term; filled from the robot."""

    idle_action: dict[str, list[float]] = {}
    """What each action term gets when no policy acts; filled from the robot."""

    disturbance_targets: DisturbanceTargetsCfg = DisturbanceTargetsCfg()
    """What a disturbance can change."""

    robot_cameras: dict[str, PolicyCameraCfg] = {}
    """Cameras that the robot carries, whether policies see through them or not; filled from the robot."""

    def events_of_presets(self) -> list[Any]:
        """Return the events, or those of each preset."""
        events: Any = self.events
        return list(vars(events).values()) if isinstance(events, PresetCfg) else [events]

    def use_physics(self, control_period: float, substep: float, njmax: int, nconmax: int) -> None:
        """Set the engines, of which ``physics=NAME`` chooses, and the time steps, which depend on the engine.

        By default it is MuJoCo's, its own on a CPU and MuJoCo-Warp on a GPU.

        Args:
            control_period: Time between two actions [s].
            substep: Physics time step [s].
            njmax: Largest number of constraints of a world that MuJoCo-Warp has room for.
            nconmax: Largest number of contacts of a world that MuJoCo-Warp has room for.
        """
        n = round(control_period / substep)
        self.decimation = preset(default=1, isaacsim_physx=n, ovphysx=n, physx=n)  # type: ignore[assignment]
        self.sim.dt = preset(default=control_period, isaacsim_physx=substep, ovphysx=substep, physx=substep)  # type: ignore[assignment]
        self.sim.render_interval = 1
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
                njmax=njmax,
                nconmax=nconmax,
                disable_sensors=True,
            ),
            num_substeps=n,
        )
        isaacsim_physx, ovphysx = PhysxCfg(bounce_threshold_velocity=0.01), OvPhysxCfg()
        self.sim.physics = preset(  # type: ignore[assignment]
            newton_mjwarp=newton_mjwarp,
            mujoco=with_mujoco(newton_mjwarp),
            isaacsim_physx=isaacsim_physx,
            ovphysx=ovphysx,
            physx=PhysxAutoCfg(isaacsim_physx=isaacsim_physx, ovphysx=ovphysx),
            default=with_mujoco(newton_mjwarp, mjwarp_on_cuda=True),
        )

    def use_success(self, control_period: float, succeeded: Callable[..., Any], **params: Any) -> None:
        """Let an episode end in success, which is worth one unit of reward.

        Args:
            control_period: Time between two actions [s].
            succeeded: Function of a term that returns which worlds have succeeded (num_envs,).
            **params: Parameters of the term.
        """
        # The reward manager multiplies by the step's duration, so this weight makes it one unit per success.
        self.rewards.success = RewardTermCfg(func=succeeded, weight=1.0 / control_period, params=dict(params))
        self.terminations.success = TerminationTermCfg(func=succeeded, params=dict(params))

    def use_robot(self, robot: RobotCfg) -> None:
        """Put a robot into the scene and let the actions move it.

        Args:
            robot: The robot, which is copied.

        Raises:
            ZprlError: If the task is for another kind of robot.
        """
        for name, articulation in robot.articulations.items():
            setattr(self.scene, name, copy.deepcopy(articulation))
        for name, part in robot.parts.items():
            setattr(self.actions, name, part.action())
        self.action_limits = {name: part.limits for name, part in robot.parts.items()}
        self.idle_action = {name: list(part.idle) for name, part in robot.parts.items()}
        self.robot_cameras = copy.deepcopy(robot.cameras)
        self.disturbance_targets.fingers = robot.fingers()
        self.disturbance_targets.arm_joints = robot.arm_joints()

    def complete_events(self, robot: RobotCfg) -> None:
        """Tell the events that concern the robot its joints and its fingers, in each of their presets.

        Args:
            robot: The robot, whose moving joints belong to one articulation.

        Raises:
            ZprlError: If they belong to several.
        """
        if len(robot.arm_joints()) != 1:
            raise ZprlError(
                f"the task is for a robot of one articulation, and this robot's are {', '.join(robot.articulations)}."
            )
        ((asset, joints),) = robot.arm_joints().items()
        moving: dict[str, Any] = {"joint_names": joints}
        fingers: dict[str, Any] = {"body_names": robot.fingers()[asset]}
        for events in self.events_of_presets():
            for name, parts in (("reset_robot", moving), ("arm_gains", moving), ("finger_friction", fingers)):
                if hasattr(events, name):
                    getattr(events, name).params["asset_cfg"] = SceneEntityCfg(asset, **parts)


@configclass
class DenseEnv:
    """A mixin for the environment that an expert learns in: its own rewards, no noise, and no end with success."""

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]
        cfg: Any = self
        cfg.observations.policy.enable_corruption = False
        cfg.terminations.success = None

    def use_success(self, control_period: float, succeeded: Callable[..., Any], **params: Any) -> None:
        """Leave out success, which the environment does not know."""
