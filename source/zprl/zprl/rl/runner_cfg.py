# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of a whole run: demonstrations, base policy, steering, learner and evaluation."""

from __future__ import annotations

from typing import Any

from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg

from zprl.policies import FlowPolicyCfg, PretrainCfg
from zprl.rl.ppo import PPOCfg
from zprl.steering import LatentResidualCfg, SteeringCfg
from zprl.utils.configclass import configclass


@configclass
class DemonstrationsCfg:
    """What ``train.py`` collects if no data set is given."""

    num_demos: int = 100
    """Number of episodes."""

    quality: str = "mixed"
    """"mixed" (imperfect, failures kept) or "expert"."""

    seed: int = 0
    """Seed of the initial states and of the expert's noise."""


@configclass
class EvaluationCfg:
    """Deterministic evaluation on fixed initial states."""

    episodes: int = 200
    """Episodes of each evaluation."""

    seed: int = 100000
    """Episode i starts from the initial state drawn with (seed, i)."""

    interval: int = 20
    """Iterations between evaluations during training; a multiple of ``save_interval``."""


@configclass
class ZprlRunnerCfg(RslRlOnPolicyRunnerCfg):
    """A ZPRL run with rsl_rl's PPO; tasks derive their own from it.

    :func:`zprl.rl.methods.configure` makes it a run of another method or learner.
    """

    method: str = "zprl"
    """Name of the method; chosen by ``--method``."""

    algo: str = "ppo"
    """Name of the learner; chosen by ``--algo``."""

    demonstrations: DemonstrationsCfg = DemonstrationsCfg()
    """Demonstrations that the base policy learns from."""

    policy: FlowPolicyCfg = FlowPolicyCfg()
    """The base policy."""

    pretrain: PretrainCfg = PretrainCfg()
    """Training of the base policy."""

    steering: SteeringCfg = LatentResidualCfg()
    """What the learner's output does to the base policy."""

    evaluation: EvaluationCfg = EvaluationCfg()
    """Evaluation during training and after it."""

    step_discount: float = 0.9925
    """Discount of one environment step; the learner's gamma is this to the power of ``policy.execute_steps``."""

    seed = 0
    device = "cpu"
    num_steps_per_env = 10
    max_iterations = 100
    save_interval = 10
    init_at_random_ep_len = True
    experiment_name = "zprl"
    obs_groups = {"actor": ["policy", "latent"], "critic": ["policy", "latent"]}
    actor = RslRlMLPModelCfg(
        hidden_dims=[256, 128],
        activation="elu",
        obs_normalization=True,
        distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(
            class_name="zprl.rl.distribution:ZeroMeanGaussian", init_std=0.5, std_type="log"
        ),
    )
    critic = RslRlMLPModelCfg(hidden_dims=[256, 128], activation="elu", obs_normalization=True)
    # The adaptive learning-rate schedule starves on small residuals: it drove the rate to 1e-5 in trials.
    algorithm = PPOCfg(
        num_learning_epochs=8,
        num_mini_batches=5,
        learning_rate=5.0e-4,
        schedule="fixed",
        gamma=0.97,
        lam=0.95,
        entropy_coef=0.0,
        desired_kl=0.015,
        max_grad_norm=1.0,
        value_loss_coef=1.0,
        use_clipped_value_loss=True,
        clip_param=0.2,
    )


def model_arguments(cfg: dict[str, Any]) -> dict[str, Any]:
    """Return a model's configuration as rsl_rl's constructor takes it.

    Isaac Lab's class still carries fields of older rsl_rl versions, which the constructor does not know.

    Args:
        cfg: ``RslRlMLPModelCfg`` as a dictionary.
    """
    outdated = {"stochastic", "init_noise_std", "noise_std_type", "state_dependent_std"}
    known = {name: value for name, value in cfg.items() if name not in outdated}
    if known.get("distribution_cfg") is None:
        known.pop("distribution_cfg", None)
    return known
