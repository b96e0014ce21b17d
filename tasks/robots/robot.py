# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a task has to know of a robot, so that no task names a joint or a body.

A robot is one articulation or several, and parts that each move by one action term: an arm and a gripper; two arms,
each with its gripper, on one torso or on two pedestals; an arm and a hand. What moves in yet another way is another
subclass of :class:`PartCfg`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING
from typing import Any

from isaaclab.assets import ArticulationCfg
from isaaclab.controllers.differential_ik_cfg import DifferentialIKControllerCfg
from isaaclab.managers import ActionTermCfg, SceneEntityCfg
from isaaclab.utils import configclass

from zprl.sim.isaaclab.cameras import PolicyCameraCfg
from zprl.tasks import mdp
from zprl.utils.errors import ZprlError

SIDES = ("left", "right")
"""Sides of a robot with two arms, with which the names of their action terms begin, such as "left_arm_action"."""


@configclass
class PartCfg:
    """A part of a robot that one action term moves."""

    asset_name: str = "robot"
    """The articulation that it belongs to, a key of :attr:`RobotCfg.articulations`."""

    joints: list[str] = MISSING  # type: ignore[assignment]
    """Its joints, as regular expressions."""

    fingers: list[str] = []
    """Its bodies that touch what is grasped, as regular expressions."""

    limits: tuple[float, float] = (-1.0, 1.0)
    """Lower and upper limit of every element of its action."""

    idle: list[float] = MISSING  # type: ignore[assignment]
    """The action that leaves the part as it is when nobody commands it."""

    def action(self) -> ActionTermCfg:
        """Return the action term that moves the part."""
        raise NotImplementedError


@configclass
class ArmCfg(PartCfg):
    """A chain of joints that moves an end effector; an action is a change of the end effector's pose.

    The end effector's z axis is the direction in which it approaches what it grasps.
    """

    body: str = MISSING  # type: ignore[assignment]
    """The body that the end effector is fixed to."""

    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Position of the end effector in the body's frame [m]."""

    scale: tuple[float, ...] = MISSING  # type: ignore[assignment]
    """Pose change of an action of ones, per control step: translation [m], then rotation vector [rad]."""

    moves_target: bool = False
    """Whether an action changes the pose that the end effector strives for, instead of the pose that it has."""

    idle: list[float] = [0.0] * 6

    def action(self) -> ActionTermCfg:
        """See :meth:`PartCfg.action`."""
        term = mdp.TargetPoseIKActionCfg if self.moves_target else mdp.DeltaPoseIKActionCfg
        return term(
            asset_name=self.asset_name,
            joint_names=self.joints,
            body_name=self.body,
            controller=DifferentialIKControllerCfg(command_type="pose", use_relative_mode=True, ik_method="dls"),
            body_offset=mdp.DeltaPoseIKActionCfg.OffsetCfg(pos=self.offset),
            scale=self.scale,
        )

    def end_effector(self) -> dict[str, Any]:
        """Return the end effector as the parameters of observation terms."""
        return {"asset_cfg": SceneEntityCfg(self.asset_name, body_names=[self.body]), "offset": self.offset}


@configclass
class GripperCfg(PartCfg):
    """Fingers that are either opened, by an action of 0 or more, or closed, by a negative one."""

    open: dict[str, float] = MISSING  # type: ignore[assignment]
    """Joint positions of the open gripper, by regular expression [rad or m]."""

    closed: dict[str, float] = MISSING  # type: ignore[assignment]
    """Joint positions that the closing gripper strives for, by regular expression [rad or m]."""

    # No action keeps such a gripper as it is; this one opens it.
    idle: list[float] = [0.0]

    def action(self) -> ActionTermCfg:
        """See :meth:`PartCfg.action`."""
        return mdp.BinaryJointPositionActionCfg(
            asset_name=self.asset_name,
            joint_names=self.joints,
            open_command_expr=self.open,
            close_command_expr=self.closed,
        )


@configclass
class JointTargetsCfg(PartCfg):
    """Joints of which each strives for a position of its own: the action's -1 is its lower, 1 its upper one."""

    ranges: dict[str, tuple[float, float]] = MISSING  # type: ignore[assignment]
    """Lower and upper position of each joint [rad or m], in the order of the action's elements."""

    posture: dict[str, float] = {}
    """Positions that it strives for when nobody commands it, of joints where that is not 0 [rad or m]."""

    def __post_init__(self) -> None:
        self.joints = list(self.ranges)
        self.idle = [self._element(name, self.posture.get(name, 0.0)) for name in self.ranges]

    def _element(self, joint: str, position: float) -> float:
        """Return the action's element by which a joint strives for a position."""
        low, high = self.ranges[joint]
        return min(max((2.0 * position - low - high) / (high - low), -1.0), 1.0)

    def action(self) -> ActionTermCfg:
        """See :meth:`PartCfg.action`."""
        return mdp.JointPositionActionCfg(
            asset_name=self.asset_name,
            joint_names=self.joints,
            preserve_order=True,
            use_default_offset=False,
            offset={name: (low + high) / 2 for name, (low, high) in self.ranges.items()},
            scale={name: (high - low) / 2 for name, (low, high) in self.ranges.items()},
            clip=dict(self.ranges),
        )


@configclass
class HandCfg(JointTargetsCfg):
    """A hand with many fingers."""

    body: str = MISSING  # type: ignore[assignment]
    """The body that what is grasped lies on: the palm."""

    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The middle of what the fingers close around, in that body's frame [m]."""

    def end_effector(self) -> dict[str, Any]:
        """Return that point as the parameters of observation terms."""
        return {"asset_cfg": SceneEntityCfg(self.asset_name, body_names=[self.body]), "offset": self.offset}


@configclass
class RobotCfg:
    """All that acts in a scene."""

    articulations: dict[str, ArticulationCfg] = MISSING  # type: ignore[assignment]
    """Its articulations, or presets of them, by their names in the scene."""

    parts: dict[str, PartCfg] = MISSING  # type: ignore[assignment]
    """Its parts by the names of their action terms, in the order of the action vector."""

    cameras: dict[str, PolicyCameraCfg] = {}
    """Cameras that it carries, by name."""

    def arms(self) -> dict[str, ArmCfg]:
        """Return the arms by the names of their action terms."""
        return {name: part for name, part in self.parts.items() if isinstance(part, ArmCfg)}

    def only_arm(self) -> ArmCfg:
        """Return the arm of a robot that has one.

        Raises:
            ZprlError: If it has none or several.
        """
        arms = self.arms()
        if len(arms) != 1:
            raise ZprlError(f"the task is for a robot with one arm, and this robot has {_listed(arms)}.")
        (arm,) = arms.values()
        return arm

    def arms_by_side(self) -> dict[str, ArmCfg]:
        """Return the arms of a robot that has two, by :data:`SIDES`.

        Raises:
            ZprlError: If it has others, or arms that differ in what one term says of both.
        """
        arms, names = self.arms(), [f"{side}_arm_action" for side in SIDES]
        if sorted(arms) != sorted(names):
            raise ZprlError(f"the task is for a robot with {' and '.join(names)}, and this robot has {_listed(arms)}.")
        left, right = (arms[name] for name in names)
        if left.asset_name != right.asset_name:
            raise ZprlError(
                "the task is for two arms of one articulation, in whose root frame all is observed, and this robot's"
                f" are of {left.asset_name} and {right.asset_name}."
            )
        if left.offset != right.offset:
            raise ZprlError(
                "the task is for two arms with their end effectors at the same place in their bodies, and this robot's"
                f" are at {left.offset} and {right.offset}."
            )
        return dict(zip(SIDES, (left, right), strict=True))

    def only_hand(self) -> HandCfg:
        """Return the hand of a robot that has one.

        Raises:
            ZprlError: If it has none or several.
        """
        hands = {name: part for name, part in self.parts.items() if isinstance(part, HandCfg)}
        if len(hands) != 1:
            raise ZprlError(f"the task is for a robot with one hand, and this robot has {_listed(hands)}.")
        (hand,) = hands.values()
        return hand

    def arm_joints(self) -> dict[str, list[str]]:
        """Return the joints of the arms, and of hands, as regular expressions, by articulation."""
        moving = (part for part in self.parts.values() if isinstance(part, ArmCfg | JointTargetsCfg))
        return _by_articulation((part, part.joints) for part in moving)

    def fingers(self) -> dict[str, list[str]]:
        """Return the bodies that grasp as regular expressions, by articulation."""
        return _by_articulation((part, part.fingers) for part in self.parts.values())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _by_articulation(parts: Iterable[tuple[PartCfg, list[str]]]) -> dict[str, list[str]]:
    merged: dict[str, list[str]] = {}
    for part, expressions in parts:
        if expressions:
            merged.setdefault(part.asset_name, []).extend(expressions)
    return merged
