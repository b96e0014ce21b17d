# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the off-policy learner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zprl.rl.model_cfg import DistributionCfg, MLPModelCfg
from zprl.utils.configclass import configclass
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.rl.runner_cfg import ZprlRunnerCfg


@configclass
class SacAlgorithmCfg:
    """Settings of :class:`zprl.rl.sac.SAC`."""

    class_name: str = "zprl.rl.sac:SAC"

    gamma: float = 0.97
    """Discount of one step; a run sets it from ``step_discount``."""

    learning_rate: float = 3.0e-4
    """Learning rate of the actor."""

    critic_learning_rate: float = 3.0e-4
    """Learning rate of the critics."""

    alpha_learning_rate: float = 1.0e-3
    """Learning rate of the temperature's logarithm."""

    batch_size: int = 256
    """Transitions of a gradient step."""

    updates_per_step: int = 96
    """Gradient steps of the critics per step of all worlds: the update-to-data ratio times the number of worlds."""

    actor_interval: int = 2
    """Gradient steps of the critics per one of the actor and the temperature."""

    subset_size: int = 2
    """Critics whose minimum is the target."""

    target_rate: float = 0.005
    """Rate at which the target critics follow the critics, per gradient step."""

    init_alpha: float = 0.001
    """First temperature."""

    entropy_per_dim: float = -0.5
    """Entropy per dimension of the output that the temperature is tuned to [nat]."""

    entropy_in_target: bool = False
    """Whether the targets count the next state's entropy."""

    warmup_transitions: int = 5120
    """Transitions that are collected before learning begins."""

    warmup_std: float = 0.0
    """Standard deviation of the outputs in them. With 0 the base policy acts alone, and the critics begin without
    having seen what an output changes."""

    replay_capacity: int = 500_000
    """Transitions that are kept."""

    max_grad_norm: float = 50.0
    """Bound of the gradients' norms."""


@configclass
class EnsembleCriticCfg:
    """Settings of :class:`zprl.rl.critic.EnsembleCritic`."""

    class_name: str = "zprl.rl.critic:EnsembleCritic"

    num_members: int = 2
    """Number of critics."""

    hidden_dims: list[int] = [128, 128]
    """Widths of the hidden layers."""

    activation: str = "gelu"
    """Activation between them."""

    layer_norm: bool = False
    """Whether the hidden layers are normalised; for shaped rewards."""

    bounded: bool = True
    """Whether values are squashed to (0, 1), which fits a reward of 1 per success; turn it off for shaped rewards."""

    obs_normalization: bool = True
    """Whether to normalise the observations by running statistics."""


@configclass
class SquashedGaussianCfg(DistributionCfg):
    """Settings of :class:`zprl.rl.distribution.SquashedGaussian`."""

    class_name: str = "zprl.rl.distribution:SquashedGaussian"

    log_std_range: tuple[float, float] = (-10.0, 2.0)
    """Range of the logarithm of the standard deviation before the tanh."""

    last_layer_gain: float = 0.01
    """Gain of the last layer's initialisation."""


def use_sac(cfg: ZprlRunnerCfg) -> None:
    """Make a run one of SAC: learner, models, and how often it learns, saves and evaluates."""
    cfg.algorithm = SacAlgorithmCfg()  # type: ignore[assignment]
    cfg.actor = MLPModelCfg(
        hidden_dims=[256, 256], activation="elu", obs_normalization=True, distribution_cfg=SquashedGaussianCfg()
    )
    cfg.critic = EnsembleCriticCfg()  # type: ignore[assignment]
    cfg.num_steps_per_env = 2
    cfg.save_interval = 50
    cfg.max_iterations = 250
    cfg.evaluation.interval = 50


def check_sac(algorithm: SacAlgorithmCfg, critic: EnsembleCriticCfg) -> None:
    """Refuse settings that make no sense.

    Raises:
        ZprlError: If a count is not positive, or a target's subset is larger than the ensemble.
    """
    counts = ("batch_size", "updates_per_step", "actor_interval", "subset_size", "replay_capacity")
    values = {f"agent.algorithm.{name}": getattr(algorithm, name) for name in counts}
    for name, value in {**values, "agent.critic.num_members": critic.num_members}.items():
        if not isinstance(value, int) or value < 1:
            raise ZprlError(f"{name} must be a positive whole number, not {value}.")
    if algorithm.subset_size > critic.num_members:
        raise ZprlError(
            f"agent.algorithm.subset_size is {algorithm.subset_size}, but there are only {critic.num_members} critics; "
            "raise agent.critic.num_members."
        )
    if algorithm.init_alpha <= 0.0:
        raise ZprlError(f"agent.algorithm.init_alpha is {algorithm.init_alpha}; it must be positive.")
