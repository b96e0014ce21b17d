# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the transport task is learned."""

from zprl.policies import FlowPolicyCfg, PretrainCfg
from zprl.tasks.common.runner_cfg import LongTaskRunnerCfg
from zprl.utils.configclass import configclass


@configclass
class TransportRunnerCfg(LongTaskRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_transport_dualfranka"
    # An episode has more than three times the steps and twice the actions of one of the lift task. With the defaults a
    # base policy succeeds in a third as many episodes, of which it loses half to the bottleneck.
    policy: FlowPolicyCfg = FlowPolicyCfg(embed_dim=128, latent_dim=32)
    pretrain = PretrainCfg(num_steps=6000, bottleneck_steps=2000)
