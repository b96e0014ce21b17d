# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of a whole run: demonstrations, base policy, steering, learner and evaluation."""

from __future__ import annotations

from typing import Annotated

from zprl.data.names import DatasetNamesCfg
from zprl.policies import FlowPolicyCfg, ImportedBottleneckCfg, PretrainCfg
from zprl.rl.critic import Activation
from zprl.rl.distribution import DistributionCfg, GaussianCfg
from zprl.rl.ppo import PPOCfg
from zprl.steering import LatentResidualCfg, SteeringCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NotEmpty, OneOf, PositiveFloat, PositiveInt, Range, Seed

CompileMode = Annotated[str, OneOf("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")]
"""A mode of :func:`torch.compile`."""


@configclass
class DemonstrationsCfg:
    """What ``train.py`` collects if no data set is given."""

    num_demos: PositiveInt = 100
    """Number of episodes."""

    quality: Annotated[str, OneOf("mixed", "expert")] = "mixed"
    """"mixed" (imperfect, failures kept) or "expert"."""

    seed: Seed = 0
    """Seed of the initial states and of the expert's noise."""


@configclass
class EvaluationCfg:
    """Deterministic evaluation on fixed initial states."""

    episodes: PositiveInt = 200
    """Episodes of each evaluation."""

    seed: Seed = 100000
    """Episode i starts from the initial state drawn with (seed, i)."""

    interval: PositiveInt = 20
    """Iterations between evaluations during training; a multiple of ``save_interval``."""


@configclass
class MLPModelCfg:
    """Settings of :class:`rsl_rl.models.MLPModel`."""

    class_name: Name = "MLPModel"
    """Its class, as rsl_rl names it or as "module:Class"."""

    hidden_dims: Annotated[list[PositiveInt], NotEmpty()] = [256, 128]
    """Widths of the hidden layers."""

    activation: Activation = "elu"
    """Activation between them, as rsl_rl names it."""

    obs_normalization: bool = True
    """Whether to normalise the observations by running statistics."""

    distribution_cfg: DistributionCfg | None = None
    """Distribution of the output; None for a deterministic one."""


@configclass
class ZprlRunnerCfg:
    """A ZPRL run with rsl_rl's PPO; tasks derive their own from it. What rsl_rl's runner reads has its names.

    :func:`zprl.rl.methods.configure` makes it a run of another method or learner. :attr:`algo` is the learner that a
    task is trained with where none is asked for.
    """

    method: str = "zprl"
    """Name of the method; chosen by ``--method``."""

    algo: str = "ppo"
    """Name of the learner; chosen by ``--algo``."""

    demonstrations: DemonstrationsCfg = DemonstrationsCfg()
    """Demonstrations that the base policy learns from."""

    dataset_names: DatasetNamesCfg = DatasetNamesCfg()
    """How data sets of others name what the task observes and does."""

    policy: FlowPolicyCfg = FlowPolicyCfg()
    """The base policy."""

    pretrain: PretrainCfg = PretrainCfg()
    """Training of the base policy."""

    imported: ImportedBottleneckCfg = ImportedBottleneckCfg()
    """The bottleneck of a base policy that was imported from another framework."""

    steering: SteeringCfg = LatentResidualCfg()
    """What the learner's output does to the base policy."""

    evaluation: EvaluationCfg = EvaluationCfg()
    """Evaluation during training and after it."""

    step_discount: Annotated[float, Range(0, 1, low_excluded=True)] = 0.9925
    """Discount of one environment step; the learner's gamma is this to the power of ``policy.execute_steps``."""

    class_name: Name = "OnPolicyRunner"
    """rsl_rl's runner, whose loop :class:`zprl.rl.runner.SteeringRunner` runs."""

    seed: Seed = 0
    """Seed of reinforcement learning."""

    device: Name = "cpu"
    """Device of the learner."""

    num_steps_per_env: PositiveInt = 10
    """Steps of every world in an iteration, each of one chunk."""

    max_iterations: PositiveInt = 100
    """Iterations in total."""

    save_interval: PositiveInt = 10
    """Iterations between checkpoints."""

    init_at_random_ep_len: bool = True
    """Whether episodes begin with used-up time after a checkpoint, where the environment can do that."""

    experiment_name: Name = "zprl"
    """Folder of the task's runs."""

    run_name: str = ""
    """Suffix of the run's folder."""

    logger: Name = "tensorboard"
    """Where scalars go, as rsl_rl names it."""

    neptune_project: str = "zprl"
    """Project there, with the logger "neptune"."""

    wandb_project: str = "zprl"
    """Project there, with the logger "wandb"."""

    check_for_nan: bool = True
    """Whether rsl_rl looks for NaN in every step."""

    clip_actions: PositiveFloat | None = None
    """Not used: steering bounds the learner's outputs."""

    torch_compile_mode: CompileMode | None = None
    """See rsl_rl's runner."""

    obs_groups: dict[str, Annotated[list[Name], NotEmpty()]] = {
        "actor": ["policy", "latent"],
        "critic": ["policy", "latent"],
    }
    """What actor and critic see: observation groups, features of the steering, and the base policy's "latent" and
    "embedding"."""

    critic_sees: Annotated[str, OneOf("auto", "privileged", "policy")] = "auto"
    """What the critic sees beside its ``obs_groups``: "privileged", what only a simulator knows, "policy", nothing, or
    "auto", the former where the task has privileged observations. Only the actor acts, which never sees them."""

    actor: MLPModelCfg = MLPModelCfg(
        distribution_cfg=GaussianCfg(class_name="zprl.rl.distribution:ZeroMeanGaussian", init_std=0.5, std_type="log")
    )
    """The actor."""

    critic: MLPModelCfg = MLPModelCfg()
    """The critic."""

    algorithm: PPOCfg = PPOCfg()
    """The learner."""

    def tune(self) -> None:
        """Change what a task wants otherwise than all tasks do, once :attr:`method` and :attr:`algo` are chosen.

        A task whose settings do not depend on them gives the fields other defaults instead.
        """
