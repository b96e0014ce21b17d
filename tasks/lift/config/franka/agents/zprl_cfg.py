# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The ZPRL run of the Franka lift task."""

from isaaclab.utils import configclass

from zprl.rl.runner_cfg import ZprlRunnerCfg


@configclass
class LiftZprlRunnerCfg(ZprlRunnerCfg):
    """Defaults that were chosen by measurement; see docs/results.md."""

    experiment_name = "zprl_lift_franka"
