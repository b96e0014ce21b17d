# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of a whole run: demonstrations, base policy, steering, learner and evaluation."""

from __future__ import annotations

from zprl.policies import FlowPolicyCfg, PretrainCfg
from zprl.rl.distribution import DistributionCfg, GaussianCfg
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
class MLPModelCfg:
    """Settings of :class:`rsl_rl.models.MLPModel`."""

    class_name: str = "MLPModel"
    """Its class, as rsl_rl names it or as "module:Class"."""

    hidden_dims: list[int] = [256, 128]
    """Widths of the hidden layers."""

    activation: str = "elu"
    """Activation between them, as rsl_rl names it."""

    obs_normalization: bool = True
    """Whether to normalise the observations by running statistics."""

    distribution_cfg: DistributionCfg | None = None
    """Distribution of the output; None for a deterministic one."""


@configclass
class ZprlRunnerCfg:
    """A ZPRL run with rsl_rl's PPO; tasks derive their own from it. What rsl_rl's runner reads has its names.

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

    class_name: str = "OnPolicyRunner"
    """rsl_rl's runner, whose loop :class:`zprl.rl.runner.SteeringRunner` runs."""

    seed: int = 0
    """Seed of reinforcement learning."""

    device: str = "cpu"
    """Device of the learner."""

    num_steps_per_env: int = 10
    """Steps of every world in an iteration, each of one chunk."""

    max_iterations: int = 100
    """Iterations in total."""

    save_interval: int = 10
    """Iterations between checkpoints."""

    init_at_random_ep_len: bool = True
    """Whether episodes begin with used-up time after a checkpoint, where the environment can do that."""

    experiment_name: str = "zprl"
    """Folder of the task's runs."""

    run_name: str = ""
    """Suffix of the run's folder."""

    logger: str = "tensorboard"
    """Where scalars go, as rsl_rl names it."""

    neptune_project: str = "zprl"
    """Project there, with the logger "neptune"."""

    wandb_project: str = "zprl"
    """Project there, with the logger "wandb"."""

    check_for_nan: bool = True
    """Whether rsl_rl looks for NaN in every step."""

    clip_actions: float | None = None
    """Not used: steering bounds the learner's outputs."""

    torch_compile_mode: str | None = None
    """See rsl_rl's runner."""

    obs_groups: dict[str, list[str]] = {"actor": ["policy", "latent"], "critic": ["policy", "latent"]}
    """What actor and critic see: observation groups, and features of the steering."""

    actor: MLPModelCfg = MLPModelCfg(
        distribution_cfg=GaussianCfg(class_name="zprl.rl.distribution:ZeroMeanGaussian", init_std=0.5, std_type="log")
    )
    """The actor."""

    critic: MLPModelCfg = MLPModelCfg()
    """The critic."""

    algorithm: PPOCfg = PPOCfg()
    """The learner."""
