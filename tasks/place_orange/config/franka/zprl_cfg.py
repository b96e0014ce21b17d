# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the Franka place-orange task is learned."""

from zprl.policies import PretrainCfg
from zprl.tasks.common.runner_cfg import LongTaskRunnerCfg, VisualRunner
from zprl.utils.configclass import configclass


@configclass
class PlaceOrangeRunnerCfg(LongTaskRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_placeorange_franka"
    pretrain = PretrainCfg(bottleneck_steps=1500)  # or precision is lost there: docs/tasks.md


@configclass
class PlaceOrangeVisualRunnerCfg(VisualRunner, PlaceOrangeRunnerCfg):
    """A run of the task with cameras."""

    experiment_name = "zprl_placeorange_franka_visual"
