# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the Franka flip-egg task is learned."""

from zprl.policies import PretrainCfg
from zprl.tasks.common.runner_cfg import LongTaskRunnerCfg
from zprl.utils.configclass import configclass


@configclass
class FlipEggRunnerCfg(LongTaskRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_flipegg_franka"
    pretrain = PretrainCfg(bottleneck_steps=1500)  # or precision is lost there: docs/tasks.md
