# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which tasks of many chunks are learned."""

from __future__ import annotations

from zprl.policies import FlowPolicyCfg, PretrainCfg, VisualPolicyCfg, VisualPretrainCfg
from zprl.rl.distribution import GaussianCfg
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.steering import LatentResidualCfg
from zprl.utils.configclass import configclass


@configclass
class LongTaskRunnerCfg(ZprlRunnerCfg):
    """PPO for tasks whose episodes take 8 s and more, within two million environment steps.

    The noise of every chunk has to be survived, and here it is a third of the lift task's. With that a base policy that
    places an orange in 58 % of episodes does so in 40 % while it explores, and still in 56 % of them after 614,400
    steps without noise; with these settings in 83 %, and in 93 % after 1,843,200.
    """

    max_iterations = 180
    save_interval = 20
    """After each checkpoint the worlds start anew, which is to be seldom where episodes are long."""

    def tune(self) -> None:
        """See :meth:`ZprlRunnerCfg.tune`."""
        if isinstance(self.steering, LatentResidualCfg) and self.algo == "ppo":
            assert isinstance(self.actor.distribution_cfg, GaussianCfg)
            self.steering.scale = 0.4
            self.actor.distribution_cfg.init_std = 0.3


@configclass
class HandRunnerCfg(ZprlRunnerCfg):
    """PPO for tasks with a hand at 50 Hz, where two actions of 20 ms are planned at a time.

    Two are 40 ms. With four, of 80 ms, what slips in between is lost: docs/methods.md.
    """

    policy: FlowPolicyCfg = FlowPolicyCfg(execute_steps=2)
    num_steps_per_env = 20
    max_iterations = 180
    save_interval = 20


@configclass
class VisualRunner:
    """A mixin for a base policy that sees through a fixed camera and one at the wrist."""

    policy: FlowPolicyCfg = VisualPolicyCfg(observation_groups=("policy", "front", "wrist"))
    pretrain: PretrainCfg = VisualPretrainCfg()
