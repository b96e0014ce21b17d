# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The experts of MetaWorld's tasks: its own scripts."""

from __future__ import annotations

from zprl.tasks.experts import ExpertNoiseCfg, NoisyExpertCfg
from zprl.utils.configclass import configclass


@configclass
class ScriptedExpertCfg(NoisyExpertCfg):
    """MetaWorld's script of the task, which errs in its actions."""

    class_type = "zprl.tasks.benchmarks.config.sawyer.expert:ScriptedExpert"
    mixed = ExpertNoiseCfg(action_std=0.3, action_correlation=0.95)
