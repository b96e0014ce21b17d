# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

# Without __all__, so that type checkers pass the terms of isaaclab.envs.mdp on as well.
from .actions import DeltaPoseIKAction as DeltaPoseIKAction
from .actions_cfg import DeltaPoseIKActionCfg as DeltaPoseIKActionCfg
from .events import reset_joints_around_default as reset_joints_around_default
from .events import reset_object_beside as reset_object_beside
from .events import reset_object_pose_uniform as reset_object_pose_uniform
from .events import reset_sphere_in as reset_sphere_in
from .observations import body_pose_in_root_frame as body_pose_in_root_frame
from .observations import object_pose_in_root_frame as object_pose_in_root_frame
from .observations import object_position_in_body_frame as object_position_in_body_frame
from .observations import object_position_in_root_frame as object_position_in_root_frame
from .terminations import non_finite_state as non_finite_state
from .terminations import object_lifted as object_lifted
from .terminations import object_placed as object_placed
from .terminations import object_within as object_within

from isaaclab.envs.mdp import *  # noqa: F403
