# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How experts are learned: rsl_rl's PPO from scratch, on a dense reward, with Isaac Lab's own configuration of it."""

from __future__ import annotations

import torch

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg


@configclass
class ExpertRunnerCfg(RslRlOnPolicyRunnerCfg):
    """PPO as it learned all hand tasks of a trial; a task derives its own from it."""

    # Isaac Lab passes --device to the environment only, so the default must fit a machine without a GPU.
    device: str = "cuda:0" if torch.cuda.is_available() else "cpu"
    seed: int = 0
    num_steps_per_env: int = 24
    max_iterations: int = 600
    save_interval: int = 50
    experiment_name: str = "expert"
    obs_groups: dict[str, list[str]] = {"actor": ["policy"], "critic": ["policy"]}
    clip_actions: float | None = 1.0
    actor: RslRlMLPModelCfg = RslRlMLPModelCfg(
        hidden_dims=[256, 128],
        activation="elu",
        obs_normalization=True,
        distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(init_std=0.4),
    )
    critic: RslRlMLPModelCfg = RslRlMLPModelCfg(hidden_dims=[256, 128], activation="elu", obs_normalization=True)
    algorithm: RslRlPpoAlgorithmCfg = RslRlPpoAlgorithmCfg(
        value_loss_coef=1.0,
        use_clipped_value_loss=True,
        clip_param=0.2,
        entropy_coef=0.0,
        num_learning_epochs=4,
        num_mini_batches=6,
        learning_rate=3.0e-4,
        schedule="adaptive",
        gamma=0.99,
        lam=0.95,
        desired_kl=0.02,
        max_grad_norm=1.0,
    )
