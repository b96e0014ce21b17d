# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which MetaWorld's tasks are learned."""

from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.utils.configclass import configclass


@configclass
class BoxCloseRunnerCfg(ZprlRunnerCfg):
    """A run of box-close."""

    experiment_name = "zprl_bench_box_close"


@configclass
class PushWallRunnerCfg(ZprlRunnerCfg):
    """A run of push-wall."""

    experiment_name = "zprl_bench_push_wall"
