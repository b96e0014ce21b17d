# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the Franka push-wall task is learned."""

from zprl.tasks.common.runner_cfg import LongTaskRunnerCfg, VisualRunner
from zprl.utils.configclass import configclass


@configclass
class PushWallRunnerCfg(LongTaskRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_pushwall_franka"


@configclass
class PushWallVisualRunnerCfg(VisualRunner, PushWallRunnerCfg):
    """A run of the task with cameras."""

    experiment_name = "zprl_pushwall_franka_visual"
