# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""All gradient steps of an iteration of SAC in one call of ``zprl::sac_update``; see :mod:`zprl.rl.native`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zprl.rl.critic import EnsembleCritic
from zprl.rl.distribution import SquashedGaussian
from zprl.rl.native import (
    LearnedNumbers,
    NetworkShape,
    activation_index,
    flattened,
    model_obstacle,
    network_shape,
    normalizer_rows,
    tensors_obstacle,
)
from zprl.steering import CriticAction
from zprl.utils import processes

if TYPE_CHECKING:
    from zprl.rl.sac import SAC, Draws

FIGURES = ("critic", "q", "target", "actor", "entropy", "alpha")
"""What the operator returns of each step; the last three of steps in which the actor learns."""


def sac_obstacle(sac: SAC) -> str | None:
    """Return why the native operator cannot take a learner's gradient steps, as a clause, or None."""
    critic, action = sac.critic, sac.critic_action
    if type(critic) is not EnsembleCritic:
        return f"the critic is a {type(critic).__name__}"
    if len(critic.members.scales):
        return "the critics have layer_norm"
    if len(critic.members.hidden) and activation_index(critic.members.activation) is None:
        return f"the critics' activation is {type(critic.members.activation).__name__}"
    if type(sac.actor.distribution) is not SquashedGaussian:
        return f"the actor's distribution is a {type(sac.actor.distribution).__name__}"
    if not isinstance(action, CriticAction):
        return "what the critics are told of an output is not a CriticAction"
    return model_obstacle(sac.actor, "actor") or tensors_obstacle(critic.parameters(), "critic")


class NativeSac:
    """Takes a learner's gradient steps, and keeps what it learns in flat buffers.

    Args:
        sac: The learner, without an obstacle.
    """

    def __init__(self, sac: SAC) -> None:
        self.sac = sac
        self.actor = LearnedNumbers(sac.actor_optimizer, sac.actor.parameters())
        self.critic = LearnedNumbers(sac.critic_optimizer, sac.critic.parameters())
        self.log_alpha = LearnedNumbers(sac.alpha_optimizer, [sac.log_alpha])
        self.target = flattened(list(sac.target_members.parameters()))
        self.actor_shape = network_shape(sac.actor.mlp)
        members = sac.critic.members
        layers = [*members.hidden, members.output]
        widths = [layer.weight.shape[1] for layer in layers] + [1]  # type: ignore[union-attr, index]
        self.critic_shape = NetworkShape(widths, activation_index(members.activation) or 0)

    def adopt(self) -> None:
        """Take over what the optimisers have loaded."""
        for learned in (self.actor, self.critic, self.log_alpha):
            learned.adopt()

    @torch.no_grad()
    def take_steps(self, draws: Draws) -> dict[str, Tensor]:
        """Take the gradient steps that were drawn; return each one's figures by name."""
        sac, cfg, replay, action = self.sac, self.sac.cfg, self.sac.replay, self.sac.critic_action
        assert isinstance(action, CriticAction)
        names = list(replay.observations)
        low, high = sac.distribution.cfg.log_std_range
        learned = [(learned, learned.parameters[0]) for learned in (self.actor, self.critic, self.log_alpha)]
        figures: Tensor = torch.ops.zprl.sac_update(
            self.actor.state,
            self.critic.state,
            self.target,
            self.log_alpha.state,
            observations=list(replay.observations.values()),
            next_observations=list(replay.next_observations.values()),
            actor_groups=[names.index(name) for name in sac.actor.obs_groups],
            critic_groups=[names.index(name) for name in sac.critic.obs_groups],
            feature_group=-1 if action.feature is None else names.index(action.feature),
            actor_normalizer=normalizer_rows(sac.actor.obs_normalizer, self.actor.state, self.actor_shape.widths[0]),
            critic_normalizer=normalizer_rows(
                sac.critic.obs_normalizer, self.critic.state, self.critic_shape.widths[0] - replay.actions.shape[1]
            ),
            actions=replay.actions,
            rewards=replay.rewards,
            discounts=replay.discounts,
            rows=draws.rows,
            members=draws.members,
            next_noise=draws.next_noise,
            noise=draws.noise,
            actor_widths=self.actor_shape.widths,
            actor_activation=self.actor_shape.activation,
            critic_widths=self.critic_shape.widths,
            critic_activation=self.critic_shape.activation,
            num_members=sac.critic.members.num_members,
            bounded=sac.critic.members.bounded,
            steps_taken=[learned.steps(parameter) for learned, parameter in learned],
            learning_rates=[learned.optimizer.param_groups[0]["lr"] for learned, _ in learned],
            first_update=sac.num_updates,
            actor_interval=cfg.actor_interval,
            gain=action.gain,
            unit=action.unit,
            log_std_low=low,
            log_std_high=high,
            entropy_in_target=cfg.entropy_in_target,
            target_rate=cfg.target_rate,
            target_entropy=sac.target_entropy,
            max_grad_norm=cfg.max_grad_norm,
            threads=processes.num_threads(),
        )
        steps, actor_steps = len(draws.rows), len(draws.noise)
        self.actor.count_steps(self.actor.parameters, actor_steps)
        self.critic.count_steps(self.critic.parameters, steps)
        self.log_alpha.count_steps(self.log_alpha.parameters, actor_steps)
        learns = [(sac.num_updates + step + 1) % cfg.actor_interval == 0 for step in range(steps)]
        sac.num_updates += steps
        by_name: dict[str, Tensor] = dict(zip(FIGURES[:3], figures[:, :3].unbind(1), strict=True))
        if actor_steps:
            by_name |= dict(zip(FIGURES[3:], figures[torch.tensor(learns), 3:].unbind(1), strict=True))
        return by_name
