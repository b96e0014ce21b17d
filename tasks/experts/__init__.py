# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Scripted experts that demonstrate the tasks."""

from .waypoint_expert import ExpertNoiseCfg as ExpertNoiseCfg
from .waypoint_expert import WaypointCfg as WaypointCfg
from .waypoint_expert import WaypointExpert as WaypointExpert
from .waypoint_expert import WaypointExpertCfg as WaypointExpertCfg
