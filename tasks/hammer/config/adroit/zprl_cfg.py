# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the Adroit hammer task is learned."""

from zprl.tasks.common.runner_cfg import HandRunnerCfg
from zprl.utils.configclass import configclass


@configclass
class HammerRunnerCfg(HandRunnerCfg):
    """A run of the task."""

    experiment_name = "zprl_hammer_adroit"
