# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Configurations of the action terms shared by all task families."""

from isaaclab.envs.mdp.actions.actions_cfg import DifferentialInverseKinematicsActionCfg
from isaaclab.utils import configclass


@configclass
class DeltaPoseIKActionCfg(DifferentialInverseKinematicsActionCfg):
    """Differential inverse kinematics solved once per control step; see :class:`DeltaPoseIKAction`."""

    class_type: type | str = "{DIR}.actions:DeltaPoseIKAction"

    clip_raw: float = 1.0
    """Raw actions are clipped to [-clip_raw, clip_raw] before they are scaled [dimensionless]."""


@configclass
class TargetPoseIKActionCfg(DeltaPoseIKActionCfg):
    """Pose changes of a target that the end effector strives for; see :class:`TargetPoseIKAction`."""

    class_type: type | str = "{DIR}.actions:TargetPoseIKAction"

    max_lead: tuple[float, float] = (0.12, 1.0)
    """How far the target may be ahead of the end effector: distance [m] and angle [rad]."""
