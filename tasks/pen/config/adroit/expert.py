# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Adroit pen task, and how it is learned."""

from pathlib import Path

from isaaclab.utils import configclass

from zprl.tasks.common.expert_runner_cfg import ExpertRunnerCfg
from zprl.tasks.experts import ExpertNoiseCfg, LearnedExpertCfg


@configclass
class PenExpertRunnerCfg(ExpertRunnerCfg):
    """Plain PPO: the pen lies in the open hand from the beginning, so that chance finds what turns it."""

    experiment_name = "pen_adroit_expert"
    max_iterations = 900


@configclass
class PenExpertCfg(LearnedExpertCfg):
    """Turns the pen with its fingers."""

    actor_file = str(Path(__file__).parent / "pen_expert.safetensors")
    training_task = "Zprl-Pen-Adroit-Dense"
    mixed = ExpertNoiseCfg(action_std=0.1)
    noise_scale = 2.6
