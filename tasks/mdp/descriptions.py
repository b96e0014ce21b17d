# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the terms that all tasks share mean; see :mod:`zprl.sim.isaaclab.descriptions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isaaclab.envs.mdp import BinaryJointPositionActionCfg, JointPositionActionCfg, joint_pos_rel
from isaaclab.managers import SceneEntityCfg

from zprl.envs.description import TermDescription
from zprl.sim.isaaclab.descriptions import describes, joint_units

from .actions_cfg import DeltaPoseIKActionCfg, TargetPoseIKActionCfg
from .observations import (
    body_pose_in_root_frame,
    object_axis_in_root_frame,
    object_pose_in_root_frame,
    object_position_in_body_frame,
    object_position_in_root_frame,
    object_velocity_in_root_frame,
    point_in_root_frame,
)

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv

POSE_ELEMENTS = ["x", "y", "z", "r11", "r21", "r31", "r12", "r22", "r32"]
"""A pose of 9 numbers: the position, then the first and the second column of the rotation matrix."""

POSE_UNITS = ["m"] * 3 + ["1"] * 6


def _point(params: dict[str, Any]) -> str:
    """Return which point of which body the parameters of an observation term name."""
    names, offset = params["asset_cfg"].body_names, params.get("offset", (0.0, 0.0, 0.0))
    body = names if isinstance(names, str) else ", ".join(names or [])
    return f"{body} at {tuple(offset)} m in its frame" if any(offset) else body


def _object_of(params: dict[str, Any]) -> str:
    return params["object_cfg"].name if "object_cfg" in params else "object"


@describes(joint_pos_rel)
def _joint_pos_rel(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    entity = params.get("asset_cfg", SceneEntityCfg("robot"))
    names = env.scene[entity.name].joint_names
    ids = entity.joint_ids
    chosen = list(names[ids]) if isinstance(ids, slice) else [names[i] for i in ids]
    units = joint_units(env, entity.name)
    return TermDescription(
        chosen, [units.get(name, "rad or m") for name in chosen], None, "joint positions minus the default posture"
    )


@describes(body_pose_in_root_frame)
def _body_pose(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    return TermDescription(POSE_ELEMENTS, POSE_UNITS, "root of the robot", f"pose of {_point(params)}")


@describes(object_pose_in_root_frame)
def _object_pose(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    return TermDescription(POSE_ELEMENTS, POSE_UNITS, "root of the robot", f"pose of the {_object_of(params)}'s centre")


@describes(object_position_in_root_frame)
def _root_position(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    text = f"position of the {_object_of(params)}'s centre"
    return TermDescription(POSE_ELEMENTS[:3], POSE_UNITS[:3], "root of the robot", text)


@describes(object_axis_in_root_frame)
def _root_axis(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    text = f"direction of the {_object_of(params)}'s z axis"
    return TermDescription(["x", "y", "z"], ["1"] * 3, "root of the robot", text)


@describes(object_velocity_in_root_frame)
def _root_velocity(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    text = f"velocity of the {_object_of(params)}: of its centre of mass, then angular"
    units = ["m/s"] * 3 + ["rad/s"] * 3
    return TermDescription(["vx", "vy", "vz", "wx", "wy", "wz"], units, "root of the robot", text)


@describes(point_in_root_frame)
def _point_position(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    text = f"position of {_point(params)}"
    return TermDescription(POSE_ELEMENTS[:3], POSE_UNITS[:3], "root of the robot", text)


@describes(object_position_in_body_frame)
def _object_position(env: ManagerBasedEnv, params: dict[str, Any]) -> TermDescription:
    text = f"position of the {_object_of(params)}'s centre, seen from {_point(params)}"
    return TermDescription(POSE_ELEMENTS[:3], POSE_UNITS[:3], _point(params), text)


def _pose_change(cfg: DeltaPoseIKActionCfg, text: str) -> TermDescription:
    scale = cfg.scale
    return TermDescription(
        ["dx", "dy", "dz", "rx", "ry", "rz"],
        ["m"] * 3 + ["rad"] * 3,
        "root of the robot",
        text,
        scale=[float(s) for s in scale] if isinstance(scale, tuple | list) else [float(scale)] * 6,
    )


@describes(DeltaPoseIKActionCfg)
def _delta_pose(env: ManagerBasedEnv, cfg: DeltaPoseIKActionCfg) -> TermDescription:
    return _pose_change(
        cfg, f"pose change of {cfg.body_name} from where it is, per control step: translation, then rotation vector"
    )


@describes(TargetPoseIKActionCfg)
def _target_pose(env: ManagerBasedEnv, cfg: TargetPoseIKActionCfg) -> TermDescription:
    distance, angle = cfg.max_lead
    return _pose_change(
        cfg,
        f"change of the pose that {cfg.body_name} is to have, per control step: translation, then rotation vector,"
        " added to the previous target and not to where it is; an episode's first one is added to where it is then, and"
        f" a target that is more than {distance:g} m or {angle:g} rad ahead of where it is is brought back to that",
    )


@describes(JointPositionActionCfg)
def _joint_targets(env: ManagerBasedEnv, cfg: JointPositionActionCfg) -> TermDescription:
    names, units = list(cfg.joint_names), joint_units(env, cfg.asset_name)
    scale, offset = (
        [value[name] for name in names] if isinstance(value, dict) else [float(value)] * len(names)
        for value in (cfg.scale, cfg.offset)
    )
    chosen = [units.get(name, "rad or m") for name in names]
    return TermDescription(names, chosen, None, "target position of the joint", scale=scale, offset=offset)


@describes(BinaryJointPositionActionCfg)
def _binary_gripper(env: ManagerBasedEnv, cfg: BinaryJointPositionActionCfg) -> TermDescription:
    opened, closed = cfg.open_command_expr, cfg.close_command_expr
    text = f"joints to {opened} if the action is 0 or more, to {closed} if it is negative"
    return TermDescription(["gripper"], ["1"], None, text, scale=[1.0], repeats=True)
