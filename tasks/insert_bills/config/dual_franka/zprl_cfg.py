# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the insert-bills task is learned."""

from zprl.policies import FlowPolicyCfg, PretrainCfg
from zprl.tasks.common.runner_cfg import LongTaskRunnerCfg
from zprl.utils.configclass import configclass


@configclass
class InsertBillsRunnerCfg(LongTaskRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_insertbills_dualfranka"
    # Twice the actions of a task with one arm: precision is lost in the default bottleneck, as on the transport task.
    policy: FlowPolicyCfg = FlowPolicyCfg(embed_dim=128, latent_dim=32)
    pretrain = PretrainCfg(num_steps=3000, bottleneck_steps=1500)
