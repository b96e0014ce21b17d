# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the Franka place-orange task is learned."""

from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.steering import LatentResidualCfg
from zprl.utils.configclass import configclass


@configclass
class PlaceOrangeRunnerCfg(ZprlRunnerCfg):
    """PPO, with half of the lift task's residual: its noise adds up over more chunks."""

    experiment_name = "zprl_placeorange_franka"
    max_iterations = 180
    save_interval = 20  # after each the worlds start anew, which is to be seldom for episodes as long as these

    def tune(self) -> None:
        """See :meth:`ZprlRunnerCfg.tune`."""
        if isinstance(self.steering, LatentResidualCfg) and self.algo == "ppo":
            self.steering.scale = 0.4
