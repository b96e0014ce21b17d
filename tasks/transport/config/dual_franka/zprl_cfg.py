# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the transport task is learned."""

from zprl.tasks.common.runner_cfg import LongTaskRunnerCfg
from zprl.utils.configclass import configclass


@configclass
class TransportRunnerCfg(LongTaskRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_transport_dualfranka"
