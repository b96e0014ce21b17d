# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

# Without __all__, so that type checkers pass the terms of isaaclab.envs.mdp on as well.
from .actions import DeltaPoseIKAction as DeltaPoseIKAction
from .actions import TargetPoseIKAction as TargetPoseIKAction
from .actions_cfg import DeltaPoseIKActionCfg as DeltaPoseIKActionCfg
from .actions_cfg import TargetPoseIKActionCfg as TargetPoseIKActionCfg
from .events import reset_fixture_in_box as reset_fixture_in_box
from .events import reset_joints_around_default as reset_joints_around_default
from .events import reset_object_beside as reset_object_beside
from .events import reset_object_pose_uniform as reset_object_pose_uniform
from .events import reset_object_tilted as reset_object_tilted
from .events import reset_object_to_default as reset_object_to_default
from .events import reset_sphere_in as reset_sphere_in
from .observations import body_pose_in_root_frame as body_pose_in_root_frame
from .observations import object_axis_in_root_frame as object_axis_in_root_frame
from .observations import object_pose_in_root_frame as object_pose_in_root_frame
from .observations import object_position_in_body_frame as object_position_in_body_frame
from .observations import object_position_in_root_frame as object_position_in_root_frame
from .observations import object_velocity_in_root_frame as object_velocity_in_root_frame
from .observations import point_in_root_frame as point_in_root_frame
from .terminations import AxisHeldAt as AxisHeldAt
from .terminations import HeldTerm as HeldTerm
from .terminations import end_effectors as end_effectors
from .terminations import JointHeldBeyond as JointHeldBeyond
from .terminations import axis_errors as axis_errors
from .terminations import joint_position as joint_position
from .terminations import non_finite_state as non_finite_state
from .terminations import object_lifted as object_lifted
from .terminations import object_placed as object_placed
from .terminations import object_within as object_within
from .terminations import objects_placed as objects_placed

from isaaclab.envs.mdp import *  # noqa: F403
