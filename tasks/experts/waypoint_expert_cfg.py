# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a waypoint expert is told: where each arm goes."""

from __future__ import annotations

import math
from dataclasses import MISSING

from zprl.tasks.experts.expert import Expert
from zprl.tasks.experts.noise import NoisyExpertCfg
from zprl.utils.configclass import configclass
from zprl.utils.errors import ZprlError


@configclass
class WaypointCfg:
    """Where an arm goes next, and with which gripper."""

    frame: str | None = None
    """Scene entity that the waypoint is given in (its place and yaw), or a body of one, as "ENTITY/BODY"; None for the
    place where the last waypoint was reached and the axes of the robot's root. The waypoint moves with the entity."""

    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Position in that frame [m]."""

    in_root_axes: bool = False
    """Whether :attr:`pos` is along the axes of the robot's root instead of the frame's."""

    arc: tuple[float, float, float] | None = None
    """Rotation vector of an arc about :attr:`pos`, in the frame's axes [rad], or None for a straight way. The arm keeps
    its distance from there, as what turns on a hinge does, and its tilt grows with the angle."""

    arc_from: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where an arc begins, seen from :attr:`pos` [m]. An arm that is further along already goes on from there."""

    yaw: float | None = 0.0
    """Yaw in that frame [rad]; None, or no frame, for whatever it is."""

    tilt: tuple[float, float] = (0.0, 0.0)
    """Roll and pitch by which the gripper deviates from pointing straight down [rad]."""

    carried: str | None = None
    """Scene entity, or body of one, that is brought to the waypoint, in place and yaw, by the gripper that holds it;
    None for the end effector itself."""

    gripper_open: bool = True
    """Whether the gripper is commanded open."""

    tolerance: float = 0.015
    """Distance at which the waypoint counts as reached [m]."""

    yaw_tolerance: float | None = None
    """Yaw error at which it does [rad], or None if the yaw may be wrong."""

    hold_steps: int = 0
    """Control steps to stay once it is reached."""

    max_steps: int | None = None
    """Control steps after which it counts as reached wherever the arm is, or None for as many as it takes."""

    max_speed: float = 1.0
    """Largest commanded translation, as a share of the action's range."""

    max_turn: float = 0.5
    """Largest commanded rotation about each axis, as a share of the action's range."""

    yaw_symmetry: float | None = None
    """Yaw angle after which what is turned looks the same [rad]; None for the expert's."""

    biased: bool = True
    """Whether the episode's grasp bias shifts and turns this waypoint."""

    grasped: str | None = None
    """Scene entity, or body of one, that the gripper holds on the way. If it slips away, the arm goes back to
    :attr:`retry_from`."""

    retry_from: int = 0
    """Index of the waypoint that the arm begins anew from when it has lost what it held."""

    barrier: str | None = None
    """Name of a meeting: the arm leaves the waypoint once every arm that has a waypoint of this name is there."""


@configclass
class ArmWaypointsCfg:
    """What one arm does."""

    waypoints: list[WaypointCfg] = MISSING  # type: ignore[assignment]
    """Waypoints in order; the last one is held until the episode ends."""

    arm_action_name: str = "arm_action"
    """The action term that moves the end effector, a :class:`zprl.tasks.mdp.DeltaPoseIKAction`."""

    gripper_action_name: str | None = "gripper_action"
    """The action term of the gripper; its upper limit opens, its lower limit closes. None for an arm without one."""


def left_and_right(left: list[WaypointCfg], right: list[WaypointCfg]) -> list[ArmWaypointsCfg]:
    """Return scripts of the two arms of a :class:`zprl.tasks.common.TwoArmEnvCfg`, by the names of its action terms."""
    return [
        ArmWaypointsCfg(
            waypoints=waypoints, arm_action_name=f"{side}_arm_action", gripper_action_name=f"{side}_gripper_action"
        )
        for side, waypoints in (("left", left), ("right", right))
    ]


@configclass
class WaypointExpertCfg(NoisyExpertCfg):
    """A task's expert: its waypoints."""

    class_type: type[Expert] | str = "zprl.tasks.experts.waypoint_expert:WaypointExpert"

    arms: list[ArmWaypointsCfg] = MISSING  # type: ignore[assignment]
    """What each arm does; an arm that is not listed idles."""

    yaw_symmetry: float = math.pi / 2
    """Yaw angle after which the grasped object looks the same [rad]."""

    gain: float = 0.8
    """Share of the remaining way that one action commands."""

    arc_lead: float = 0.25
    """How far ahead of the arm its target is on an arc [rad]."""

    slip_distance: float = 0.06
    """Distance between the end effector and what it holds beyond which that has slipped away [m]."""

    def barriers(self) -> list[str]:
        """Return the names of all meetings.

        Raises:
            ZprlError: If a waypoint goes back to one that does not exist, an arm comes to a meeting twice, or an arc
                has no beginning.
        """
        names: list[str] = []
        for arm in self.arms:
            own = [point.barrier for point in arm.waypoints if point.barrier is not None]
            twice = [name for name in own if own.count(name) > 1]
            if twice:
                raise ZprlError(
                    f"the waypoints of {arm.arm_action_name} have the barrier '{twice[0]}' twice; an arm can meet the"
                    " others there once."
                )
            for number, point in enumerate(arm.waypoints):
                if point.arc is not None and (number == 0 or not any(_cross(point.arc, point.arc_from))):
                    raise ZprlError(
                        f"waypoint {number} of {arm.arm_action_name} is an arc, which has to come after another one and"
                        " to begin, by its arc_from, away from its axis."
                    )
                if not 0 <= point.retry_from < len(arm.waypoints):
                    raise ZprlError(
                        f"a waypoint of {arm.arm_action_name} goes back to number {point.retry_from}, and there are"
                        f" {len(arm.waypoints)}, from 0 on."
                    )
            names += [name for name in own if name not in names]
        return names


def _cross(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    (a, b, c), (x, y, z) = one, other
    return b * z - c * y, c * x - a * z, a * y - b * x
