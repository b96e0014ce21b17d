# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The configuration that every task's environment derives from."""

from __future__ import annotations

import copy
from dataclasses import MISSING

from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.utils import configclass
from isaaclab_tasks.utils import preset

import zprl.tasks.mdp.descriptions  # noqa: F401 - says what the shared terms mean
from zprl.tasks.common.physics import physics_presets
from zprl.tasks.robots.robot import RobotCfg


@configclass
class ActionsCfg:
    """Actions; the robot's parts add their terms."""


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
    """The joints of the arms as regular expressions, by articulation; filled from the robot."""


@configclass
class TaskEnvCfg(ManagerBasedRLEnvCfg):
    """An environment, with what the layers below the tasks have to know of it.

    A family sets its time steps by :meth:`use_physics` in ``__post_init__``; its configuration for a robot calls
    :meth:`use_robot` there, which the family extends where its own terms concern the robot.
    """

    actions: ActionsCfg = ActionsCfg()

    tracked_terms: list[str] = MISSING  # type: ignore[assignment]
    """Observation terms of the group ``policy`` whose first three numbers are an end effector's position [m], one per
    arm; smoothness is measured on them."""

    action_limits: dict[str, tuple[float, float]] = {}
    """Lower and upper limit of the elements of each action term; filled from the robot."""

    idle_action: dict[str, list[float]] = {}
    """What each action term gets when no policy acts; filled from the robot."""

    disturbance_targets: DisturbanceTargetsCfg = DisturbanceTargetsCfg()
    """What a disturbance can change."""

    def use_physics(self, control_period: float, substep: float, njmax: int, nconmax: int) -> None:
        """Set the engines and the time steps, which depend on the engine.

        Args:
            control_period: Time between two actions [s].
            substep: Physics time step [s].
            njmax: See :func:`physics_presets`.
            nconmax: See :func:`physics_presets`.
        """
        n = round(control_period / substep)
        self.decimation = preset(default=1, isaacsim_physx=n, ovphysx=n, physx=n)  # type: ignore[assignment]
        self.sim.dt = preset(default=control_period, isaacsim_physx=substep, ovphysx=substep, physx=substep)  # type: ignore[assignment]
        self.sim.render_interval = 1
        self.sim.physics = physics_presets(control_period, substep, njmax, nconmax)  # type: ignore[assignment]

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
        self.disturbance_targets.fingers = robot.fingers()
        self.disturbance_targets.arm_joints = robot.arm_joints()
