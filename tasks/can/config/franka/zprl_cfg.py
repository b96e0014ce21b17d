# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the Franka can task is learned."""

from zprl.tasks.common.runner_cfg import LongTaskRunnerCfg, VisualRunner
from zprl.utils.configclass import configclass


@configclass
class CanRunnerCfg(LongTaskRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_can_franka"


@configclass
class CanVisualRunnerCfg(VisualRunner, CanRunnerCfg):
    """A run of the task with cameras."""

    experiment_name = "zprl_can_franka_visual"
