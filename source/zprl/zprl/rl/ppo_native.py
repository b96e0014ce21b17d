# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""All gradient steps of an iteration of PPO in one call of ``zprl::ppo_update``; see :mod:`zprl.rl.native`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules.distribution import GaussianDistribution
from torch import Tensor

from zprl.rl.native import LearnedNumbers, model_obstacle, network_shape
from zprl.utils import processes

if TYPE_CHECKING:
    from zprl.rl.ppo import PPO


def ppo_obstacle(ppo: PPO) -> str | None:
    """Return why the native operator cannot take a learner's gradient steps, as a clause, or None."""
    for there, obstacle in (
        (ppo.is_multi_gpu, "several processes learn together"),
        (ppo.rnd is not None, "it has an rnd_cfg"),
        (ppo.symmetry is not None, "it has a symmetry_cfg"),
        (ppo.use_mixed_precision, "it has use_mixed_precision"),
        (ppo.schedule == "adaptive", "its schedule is adaptive"),
        (type(ppo.optimizer) is not torch.optim.Adam, f"its optimizer is {type(ppo.optimizer).__name__}"),
    ):
        if there:
            return obstacle
    if isinstance(ppo.actor, MLPModel):  # other models need not have a distribution
        # What it computes must be the Gaussian's; how a subclass begins does not matter.
        kind = type(ppo.actor.distribution)
        if not issubclass(kind, GaussianDistribution) or any(
            getattr(kind, name) is not getattr(GaussianDistribution, name) for name in ("update", "log_prob", "entropy")
        ):
            return f"the actor's distribution is a {kind.__name__}"
    obstacle = model_obstacle(ppo.actor, "actor") or model_obstacle(ppo.critic, "critic")
    if obstacle is None and ppo.critic.distribution is not None:
        return "the critic's output is a distribution"
    return obstacle


class NativePpo:
    """Takes a learner's gradient steps, and keeps what it learns in a flat buffer.

    Args:
        ppo: The learner, without an obstacle.
    """

    def __init__(self, ppo: PPO) -> None:
        self.ppo = ppo
        # Not the compiled modules, which the learner acts with.
        self.actor, self.critic = ppo._raw_actor, ppo._raw_critic
        # The deviation's parameters come first.
        self.learned = LearnedNumbers(ppo.optimizer, [*self.actor.parameters(), *self.critic.parameters()])  # type: ignore[arg-type]

    @torch.no_grad()
    def update(self, learns_actor: bool) -> dict[str, float]:
        """Take an iteration's gradient steps, as :meth:`rsl_rl.algorithms.PPO.update` does.

        Args:
            learns_actor: Whether the actor learns too, or the critic alone.
        """
        ppo, storage, learned = self.ppo, self.ppo.storage, self.learned
        batch = storage.num_envs * storage.num_transitions_per_env // ppo.num_mini_batches
        order = torch.randperm(ppo.num_mini_batches * batch)

        def shuffled(values: Tensor) -> Tensor:
            return values.flatten(0, 1)[order]

        observations = storage.observations.flatten(0, 1)
        drawn = observations[order]
        advantages = shuffled(storage.advantages).view(ppo.num_mini_batches, batch)
        if ppo.normalize_advantage_per_mini_batch:
            deviation = advantages.std(dim=1, keepdim=True) + 1e-8
            advantages = (advantages - advantages.mean(dim=1, keepdim=True)) / deviation
        distribution = self.actor.distribution
        assert isinstance(distribution, GaussianDistribution)
        logarithmic = distribution.std_type == "log"
        low, high = distribution.log_std_range if logarithmic else distribution.std_range
        actor_shape, critic_shape = network_shape(self.actor.mlp), network_shape(self.critic.mlp)
        actor_parameters, critic_parameters = list(self.actor.parameters()), list(self.critic.parameters())
        steps = ppo.num_learning_epochs * ppo.num_mini_batches
        losses: Tensor = torch.ops.zprl.ppo_update(
            learned.state,
            self.actor.get_latent(drawn),
            self.critic.get_latent(drawn),
            shuffled(storage.actions),
            shuffled(storage.actions_log_prob).squeeze(1),
            shuffled(storage.values).squeeze(1),
            shuffled(storage.returns).squeeze(1),
            advantages.flatten(),
            actor_widths=actor_shape.widths,
            actor_activation=actor_shape.activation,
            critic_widths=critic_shape.widths,
            critic_activation=critic_shape.activation,
            epochs=ppo.num_learning_epochs,
            minibatches=ppo.num_mini_batches,
            steps_taken=[learned.steps(actor_parameters[0]), learned.steps(critic_parameters[0])],
            learning_rate=ppo.optimizer.param_groups[0]["lr"],
            learns_actor=learns_actor,
            log_deviation=logarithmic,
            deviation_low=low,
            deviation_high=high,
            clip=ppo.clip_param,
            clips_values=ppo.use_clipped_value_loss,
            value_weight=ppo.value_loss_coef,
            entropy_weight=ppo.entropy_coef,
            max_grad_norm=ppo.max_grad_norm,
            threads=processes.num_threads(),
        )
        learned.count_steps([*(actor_parameters if learns_actor else ()), *critic_parameters], steps)
        self.actor.update_normalization(observations)  # type: ignore[arg-type]
        self.critic.update_normalization(observations)  # type: ignore[arg-type]
        storage.clear()
        return dict(zip(("value", "surrogate", "entropy"), losses.tolist(), strict=True))
