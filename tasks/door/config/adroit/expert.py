# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The expert of the Adroit door task, and how it is learned."""

from pathlib import Path

from isaaclab.utils import configclass

from zprl.tasks.common.expert_runner_cfg import ExpertRunnerCfg
from zprl.tasks.experts import ExpertNoiseCfg, LearnedExpertCfg


@configclass
class DoorExpertRunnerCfg(ExpertRunnerCfg):
    """Plain PPO: the lever is found by the reward of nearing it, and turned by chance."""

    experiment_name = "door_adroit_expert"
    max_iterations = 1200


@configclass
class DoorExpertCfg(LearnedExpertCfg):
    """Turns the lever and pulls."""

    actor_file = str(Path(__file__).parent / "door_expert.safetensors")
    training_task = "Zprl-Door-Adroit-Dense"
    mixed = ExpertNoiseCfg(action_std=0.1)
    noise_scale = 0.9
