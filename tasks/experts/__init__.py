# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Experts that demonstrate the tasks, scripted or learned."""

from typing import TYPE_CHECKING, Any

from zprl.tasks.experts.expert import Expert as Expert
from zprl.tasks.experts.expert import ExpertCfg as ExpertCfg
from zprl.tasks.experts.expert import expert_cfg_of as expert_cfg_of
from zprl.tasks.experts.expert import make_expert as make_expert
from zprl.tasks.experts.learned_expert import ExpertActor as ExpertActor
from zprl.tasks.experts.learned_expert import LearnedExpert as LearnedExpert
from zprl.tasks.experts.learned_expert_cfg import LearnedExpertCfg as LearnedExpertCfg
from zprl.tasks.experts.noise import ExpertNoiseCfg as ExpertNoiseCfg
from zprl.tasks.experts.noise import NoisyExpertCfg as NoisyExpertCfg
from zprl.tasks.experts.waypoint_expert_cfg import ArmWaypointsCfg as ArmWaypointsCfg
from zprl.tasks.experts.waypoint_expert_cfg import WaypointCfg as WaypointCfg
from zprl.tasks.experts.waypoint_expert_cfg import WaypointExpertCfg as WaypointExpertCfg
from zprl.tasks.experts.waypoint_expert_cfg import left_and_right as left_and_right

if TYPE_CHECKING:
    from zprl.tasks.experts.waypoint_expert import WaypointExpert as WaypointExpert


def __getattr__(name: str) -> Any:
    # It imports Isaac Lab, which not every expert's task needs.
    if name == "WaypointExpert":
        from zprl.tasks.experts.waypoint_expert import WaypointExpert

        return WaypointExpert
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
