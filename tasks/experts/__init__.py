# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Scripted experts that demonstrate the tasks."""

from zprl.tasks.experts.expert import Expert as Expert
from zprl.tasks.experts.expert import ExpertCfg as ExpertCfg
from zprl.tasks.experts.expert import expert_cfg_of as expert_cfg_of
from zprl.tasks.experts.expert import make_expert as make_expert
from zprl.tasks.experts.waypoint_expert import WaypointExpert as WaypointExpert
from zprl.tasks.experts.waypoint_expert_cfg import ArmWaypointsCfg as ArmWaypointsCfg
from zprl.tasks.experts.waypoint_expert_cfg import ExpertNoiseCfg as ExpertNoiseCfg
from zprl.tasks.experts.waypoint_expert_cfg import WaypointCfg as WaypointCfg
from zprl.tasks.experts.waypoint_expert_cfg import WaypointExpertCfg as WaypointExpertCfg
