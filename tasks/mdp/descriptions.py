# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the elements of observation and action terms mean: names, units and frames, for whoever feeds a real robot.

A description belongs to a term's function (or an action term's class). A task with terms of its own adds theirs with
:func:`describes_observation` or :func:`describes_action`, anywhere that is imported with the task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isaaclab.envs.mdp import joint_pos_rel
from isaaclab.envs.mdp.actions.binary_joint_actions import BinaryJointPositionAction
from isaaclab.managers import SceneEntityCfg

from .actions import DeltaPoseIKAction
from .observations import body_pose_in_root_frame, object_pose_in_root_frame, object_position_in_body_frame

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv
    from isaaclab.managers import ActionTerm

POSE_ELEMENTS = ["x", "y", "z", "r11", "r21", "r31", "r12", "r22", "r32"]
"""A pose of 9 numbers: the position, then the first and the second column of the rotation matrix."""

POSE_UNITS = ["m"] * 3 + ["1"] * 6


@dataclass(frozen=True)
class TermDescription:
    """What the elements of a term mean.

    Attributes:
        elements: Name of each element.
        units: Unit of each element, "1" for none; of an action, the unit of ``scale * action``.
        frame: Frame that the term is measured in, or None if it has none.
        text: The term in words.
        scale: Of an action, the factor to the unit, by element; None for an observation.
        hold: Of an action, the value of each element that keeps the robot where it is, None for the value before.
    """

    elements: list[str]
    units: list[str]
    frame: str | None
    text: str
    scale: list[float] | None = None
    hold: Sequence[float | None] | None = None


_OBSERVATIONS: dict[Any, Callable[[ManagerBasedEnv, dict[str, Any]], TermDescription]] = {}
_ACTIONS: dict[type, Callable[[Any], TermDescription]] = {}


def describes_observation[F: Callable[[Any, dict[str, Any]], TermDescription]](function: Any) -> Callable[[F], F]:
    """Register a function of (environment, parameters of the term) that describes an observation term's function."""

    def register(describe: F) -> F:
        _OBSERVATIONS[function] = describe
        return describe

    return register


def describes_action[F: Callable[[Any], TermDescription]](term: type) -> Callable[[F], F]:
    """Register a function of the action term that describes its class."""

    def register(describe: F) -> F:
        _ACTIONS[term] = describe
        return describe

    return register


def describe_observation(env: ManagerBasedEnv, function: Any, params: dict[str, Any]) -> TermDescription | None:
    """Describe an observation term, or return None if nobody has said what it means.

    Args:
        env: The environment.
        function: The term's function.
        params: The term's parameters, resolved.
    """
    describe = _OBSERVATIONS.get(function)
    return None if describe is None else describe(env, params)


def describe_action(term: ActionTerm) -> TermDescription | None:
    """Describe an action term, or return None if nobody has said what it means."""
    describe = _ACTIONS.get(type(term))
    return None if describe is None else describe(term)


def joint_units(env: ManagerBasedEnv, asset_name: str) -> dict[str, str]:
    """Return the unit of each joint's position, "rad" or "m", by name, as the asset's USD joints say.

    Joints that the stage does not show are left out.

    Args:
        env: The environment.
        asset_name: Name of the articulation in the scene.
    """
    from pxr import Usd, UsdPhysics

    asset = env.scene[asset_name]
    units = {}
    for prim in Usd.PrimRange(env.sim.stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()):
        if prim.GetName() in asset.joint_names and prim.GetName() not in units:
            if prim.IsA(UsdPhysics.PrismaticJoint):
                units[prim.GetName()] = "m"
            elif prim.IsA(UsdPhysics.RevoluteJoint):
                units[prim.GetName()] = "rad"
    return units


def _names(entity: SceneEntityCfg, kind: str) -> str:
    names = getattr(entity, f"{kind}_names")
    return names if isinstance(names, str) else ", ".join(names or [])


def _offset(params: dict[str, Any]) -> str:
    offset = params.get("offset", (0.0, 0.0, 0.0))
    return "" if not any(offset) else f" at {tuple(offset)} m in its frame"


@describes_observation(joint_pos_rel)
def _joint_pos_rel(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    entity = params.get("asset_cfg", SceneEntityCfg("robot"))
    names = env.scene[entity.name].joint_names
    ids = entity.joint_ids
    chosen = list(names[ids]) if isinstance(ids, slice) else [names[i] for i in ids]
    units = joint_units(env, entity.name)
    return TermDescription(
        chosen, [units.get(name, "rad or m") for name in chosen], None, "joint positions minus the default posture"
    )


@describes_observation(body_pose_in_root_frame)
def _body_pose(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    text = f"pose of {_names(params['asset_cfg'], 'body')}{_offset(params)}"
    return TermDescription(POSE_ELEMENTS, POSE_UNITS, "root of the robot", text)


@describes_observation(object_pose_in_root_frame)
def _object_pose(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    return TermDescription(POSE_ELEMENTS, POSE_UNITS, "root of the robot", "pose of the object's centre")


@describes_observation(object_position_in_body_frame)
def _object_position(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    body = f"{_names(params['asset_cfg'], 'body')}{_offset(params)}"
    return TermDescription(
        POSE_ELEMENTS[:3], POSE_UNITS[:3], body, f"position of the object's centre, seen from {body}"
    )


@describes_action(DeltaPoseIKAction)
def _delta_pose(term: DeltaPoseIKAction) -> TermDescription:
    scale = term.cfg.scale
    return TermDescription(
        ["dx", "dy", "dz", "rx", "ry", "rz"],
        ["m"] * 3 + ["rad"] * 3,
        "root of the robot",
        f"pose change of {term.cfg.body_name} from where it is, per control step: translation, then rotation vector",
        scale=[float(s) for s in scale] if isinstance(scale, tuple | list) else [float(scale)] * 6,
        hold=[0.0] * 6,
    )


@describes_action(BinaryJointPositionAction)
def _binary_gripper(term: BinaryJointPositionAction) -> TermDescription:
    opened, closed = term.cfg.open_command_expr, term.cfg.close_command_expr
    text = f"joints to {opened} if the action is 0 or more, to {closed} if it is negative"
    return TermDescription(["gripper"], ["1"], None, text, scale=[1.0], hold=[None])
