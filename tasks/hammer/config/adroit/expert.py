# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Adroit hammer task, and how it is learned."""

from pathlib import Path

from isaaclab.utils import configclass

from zprl.tasks.common.expert_runner_cfg import ExpertRunnerCfg
from zprl.tasks.experts import ExpertNoiseCfg, LearnedExpertCfg


@configclass
class HammerExpertRunnerCfg(ExpertRunnerCfg):
    """Plain PPO: the hand begins above the hammer, and fingers that close by chance lift it."""

    experiment_name = "hammer_adroit_expert"
    max_iterations = 500


@configclass
class HammerExpertCfg(LearnedExpertCfg):
    """Lifts the hammer and pushes its head against the nail."""

    actor_file = str(Path(__file__).parent / "hammer_expert.safetensors")
    training_task = "Zprl-Hammer-Adroit-Dense"
    mixed = ExpertNoiseCfg(action_std=0.1)
    noise_scale = 3.338
