# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the Franka box-close task is learned."""

from zprl.tasks.common.runner_cfg import LongTaskRunnerCfg, VisualRunner
from zprl.utils.configclass import configclass


@configclass
class BoxCloseRunnerCfg(LongTaskRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_boxclose_franka"


@configclass
class BoxCloseVisualRunnerCfg(VisualRunner, BoxCloseRunnerCfg):
    """A run of the task with cameras."""

    experiment_name = "zprl_boxclose_franka_visual"
