# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Soft actor-critic over action chunks with an ensemble of critics, to rsl_rl's contract of an algorithm.

The learner of arXiv 2605.19919: SAC (arXiv 1812.05905) with an ensemble whose targets take the minimum of a random
subset (REDQ, arXiv 2101.05982). One transition is one chunk, so the discount and the rewards inside it are the
environment's business; see :class:`zprl.envs.chunked_env.ChunkedVecEnv`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from rsl_rl.env import VecEnv
from rsl_rl.models import MLPModel
from rsl_rl.utils import resolve_class, resolve_obs_groups
from tensordict import TensorDict
from torch import Tensor, nn

from zprl.rl.critic import EnsembleCritic, EnsembleCriticCfg
from zprl.rl.distribution import SquashedGaussian
from zprl.rl.native import Backend, runs_natively
from zprl.rl.replay import ReplayBuffer, Transitions
from zprl.rl.sac_native import NativeSac, sac_obstacle
from zprl.steering import CriticAction
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Range, Share
from zprl.utils.errors import ZprlError
from zprl.utils.modules import frozen


@configclass
class SacAlgorithmCfg:
    """Settings of :class:`SAC`."""

    class_name: Name = "zprl.rl.sac:SAC"

    gamma: Share = 0.97
    """Discount of one step; a run sets it from ``step_discount``."""

    learning_rate: PositiveFloat = 3.0e-4
    """Learning rate of the actor."""

    critic_learning_rate: PositiveFloat = 3.0e-4
    """Learning rate of the critics."""

    alpha_learning_rate: PositiveFloat = 1.0e-3
    """Learning rate of the temperature's logarithm."""

    batch_size: PositiveInt = 256
    """Transitions of a gradient step."""

    updates_per_step: PositiveInt = 96
    """Gradient steps of the critics per step of all worlds: the update-to-data ratio times the number of worlds."""

    actor_interval: PositiveInt = 2
    """Gradient steps of the critics per one of the actor and the temperature."""

    subset_size: PositiveInt = 2
    """Critics whose minimum is the target."""

    target_rate: Annotated[float, Range(0, 1, low_excluded=True)] = 0.005
    """Rate tau at which the target critics follow the critics, per gradient step."""

    init_alpha: PositiveFloat = 0.001
    """First temperature."""

    entropy_per_dim: float = -0.5
    """Entropy per dimension of the output that the temperature is tuned to [nat]."""

    entropy_in_target: bool = False
    """Whether the targets count the next state's entropy."""

    warmup_transitions: NonNegativeInt = 5120
    """Transitions that are collected before learning begins."""

    warmup_std: NonNegativeFloat = 0.0
    """Standard deviation of the outputs in them, whose mean is zero, the base policy. With 0 it acts alone, and the
    critics begin without having seen what an output changes."""

    replay_capacity: PositiveInt = 500_000
    """Transitions that are kept."""

    max_grad_norm: PositiveFloat = 50.0
    """Bound of the gradients' norms, of the actor and of the critics."""

    backend: Backend = "auto"
    """What takes the gradient steps."""


@dataclass(frozen=True)
class Draws:
    """What the gradient steps of an iteration draw at random, for S steps on B transitions with outputs of length A.

    It is drawn before the first step, so that it does not depend on what takes them.
    """

    rows: Tensor
    """Where each step's transitions are in the replay buffer (S, B), int64."""

    members: Tensor
    """Target critics whose minimum is the target (S, subset_size), int64."""

    next_noise: Tensor
    """Noise of the outputs after a transition (S, B, A)."""

    noise: Tensor
    """Noise of the outputs that the actor learns by (T, B, A), of the T steps in which it learns."""


class SAC:
    """Soft actor-critic.

    Args:
        actor: The actor, with a :class:`zprl.rl.distribution.SquashedGaussian`.
        critic: The ensemble.
        replay: The replay buffer.
        critic_action: Maps (observations, outputs) to what the critic is told of the outputs; of a
            :class:`zprl.steering.CriticAction` the native operator knows what it does.
        num_steps: Steps of all worlds between two calls of :meth:`update`.
        device: Device of the learner.
        **settings: See :class:`SacAlgorithmCfg`.

    Raises:
        ZprlError: If the native operator is asked for and cannot take its gradient steps.
    """

    rnd = None

    def __init__(
        self,
        actor: MLPModel,
        critic: EnsembleCritic,
        replay: ReplayBuffer,
        critic_action: Callable[[Mapping[str, Tensor], Tensor], Tensor],
        num_steps: int,
        device: str = "cpu",
        **settings: Any,
    ) -> None:
        self.cfg = cfg = SacAlgorithmCfg(**settings)
        self.device = device
        self.actor = actor.to(device)
        self.critic = critic.to(device)
        self.target_members = copy.deepcopy(self.critic.members).requires_grad_(False)
        self.replay = replay
        self.critic_action = critic_action
        self.log_alpha = torch.tensor(cfg.init_alpha, device=device).log().requires_grad_(True)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=cfg.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=cfg.critic_learning_rate, fused=True)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=cfg.alpha_learning_rate, fused=True)
        self.num_steps = num_steps
        self.learning_rate = cfg.learning_rate  # rsl_rl's runner logs it
        self.target_entropy = cfg.entropy_per_dim * replay.actions.shape[1]
        self.num_updates = 0
        """Gradient steps of the critics so far."""
        self._obs, self._outputs = TensorDict(), torch.empty(0)
        self.native = NativeSac(self) if runs_natively(cfg.backend, sac_obstacle(self)) else None
        """What takes the gradient steps by the native operator, or None where autograd does."""

    @property
    def warming_up(self) -> bool:
        """Whether nothing is learned yet."""
        return self.replay.total < self.cfg.warmup_transitions

    @property
    def distribution(self) -> SquashedGaussian:
        """Distribution of the actor's outputs."""
        assert isinstance(self.actor.distribution, SquashedGaussian)
        return self.actor.distribution

    # -- collection

    def act(self, obs: TensorDict) -> Tensor:
        """Sample outputs u (N, num_actions), during the warm-up around zero."""
        outputs = self.actor(obs, stochastic_output=True).detach()
        if self.warming_up:
            outputs = (self.cfg.warmup_std * torch.randn_like(outputs)).clamp(-1.0, 1.0)
        self._obs, self._outputs = obs, outputs
        return self._outputs

    def process_env_step(self, obs: TensorDict, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        """Store a step of all worlds.

        An episode that ran out of time has not failed: its last transition is followed by what ``extras`` holds as
        ``final_observations``. Where the environment gives none, the observation before the step stands in, as in
        rsl_rl's PPO.
        """
        time_outs = extras.get("time_outs", torch.zeros_like(dones, dtype=torch.bool))
        discounts = torch.where(time_outs, self.cfg.gamma, self.cfg.gamma * (1.0 - dones.float()))
        last = extras.get("final_observations", self._obs)
        following = {name: torch.where(time_outs[:, None], last[name], obs[name]) for name in self.replay.observations}
        # Early residuals may have been held back; a transition holds what was done.
        executed = extras.get("executed", self._outputs)
        self.replay.add(Transitions(self._obs, following, executed, rewards, discounts))  # type: ignore[arg-type]

    def compute_returns(self, obs: TensorDict) -> None:
        """Do nothing: targets are computed batch by batch, with the critics as they are then."""

    # -- learning

    def update(self) -> dict[str, float]:
        """Take the gradient steps of an iteration; return mean losses."""
        latest = self.replay.latest(self.num_steps)
        self.actor.update_normalization(latest)  # type: ignore[arg-type]
        self.critic.update_normalization(latest)
        if self.warming_up:
            return {}
        draws = self.draw(self.cfg.updates_per_step * self.num_steps)
        figures = self._take_steps(draws) if self.native is None else self.native.take_steps(draws)
        return {name: values.mean().item() for name, values in figures.items()}

    def draw(self, num_steps: int) -> Draws:
        """Draw what so many gradient steps need, from torch's default generator."""
        cfg, like = self.cfg, self.replay.actions
        shape = cfg.batch_size, like.shape[1]
        actor_steps = (self.num_updates + num_steps) // cfg.actor_interval - self.num_updates // cfg.actor_interval
        order = torch.rand(num_steps, self.target_members.num_members, device=like.device).argsort(dim=1)
        return Draws(
            self.replay.draw(num_steps * cfg.batch_size).view(num_steps, cfg.batch_size),
            order[:, : cfg.subset_size].contiguous(),
            torch.randn(num_steps, *shape, dtype=like.dtype, device=like.device),
            torch.randn(actor_steps, *shape, dtype=like.dtype, device=like.device),
        )

    def _take_steps(self, draws: Draws) -> dict[str, Tensor]:
        """Take the gradient steps that were drawn, by autograd; return each one's figures by name."""
        history: dict[str, list[Tensor]] = {}
        noise = iter(draws.noise)
        batches = self.replay.at(draws.rows.flatten()).split(self.cfg.batch_size)
        for batch, members, next_noise in zip(batches, draws.members, draws.next_noise, strict=True):
            metrics = self.update_critic(batch, members, next_noise)
            self.num_updates += 1
            if self.num_updates % self.cfg.actor_interval == 0:
                metrics |= self.update_actor(batch, next(noise))
            for name, value in metrics.items():
                history.setdefault(name, []).append(value)
        return {name: torch.stack(values) for name, values in history.items()}

    @torch.no_grad()
    def targets(self, batch: Transitions, members: Tensor, noise: Tensor) -> Tensor:
        """Return r + discount * min of the target critics ``members`` at the next state, shape (B,).

        The outputs there are sampled with ``noise`` (B, A).
        """
        following = batch.next_observations
        outputs, log_prob = self._sample(following, noise)
        values = self.target_members(self.critic.inputs(following, self.critic_action(following, outputs)), members)
        value = values.min(dim=0).values
        if self.cfg.entropy_in_target:
            value = value - self.log_alpha.exp() * log_prob
        return batch.rewards + batch.discounts * value

    def update_critic(self, batch: Transitions, members: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Take a gradient step of all critics towards common :meth:`targets`, and let the target critics follow."""
        targets = self.targets(batch, members, noise)
        values = self.critic(batch.observations, self.critic_action(batch.observations, batch.actions))
        # The sum over the members, so that each learns as it would alone.
        loss = (values - targets).square().mean(dim=1).sum()
        self.critic_optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.critic.parameters(), self.cfg.max_grad_norm)
        self.critic_optimizer.step()
        with torch.no_grad():
            followed = zip(self.target_members.parameters(), self.critic.members.parameters(), strict=True)
            for target, parameter in followed:
                target.lerp_(parameter, self.cfg.target_rate)
        return {"critic": loss.detach() / len(values), "q": values.detach().mean(), "target": targets.mean()}

    def update_actor(self, batch: Transitions, noise: Tensor) -> dict[str, Tensor]:
        """Take a gradient step of the actor, on the mean of all critics, and of the temperature.

        The outputs are sampled with ``noise`` (B, A).
        """
        obs, alpha = batch.observations, self.log_alpha.detach().exp()
        outputs, log_prob = self._sample(obs, noise)
        with frozen(self.critic):
            values = self.critic(obs, self.critic_action(obs, outputs))
        loss = (alpha * log_prob - values.mean(dim=0)).mean()
        self.actor_optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.actor.parameters(), self.cfg.max_grad_norm)
        self.actor_optimizer.step()

        alpha_loss = -self.log_alpha * (log_prob.detach().mean() + self.target_entropy)
        self.alpha_optimizer.zero_grad()
        alpha_loss.backward()
        self.alpha_optimizer.step()
        return {"actor": loss.detach(), "entropy": -log_prob.detach().mean(), "alpha": alpha}

    def _sample(self, obs: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        self.distribution.update(self.actor.mlp(self.actor.get_latent(obs)))  # type: ignore[arg-type]
        return self.distribution.sample_with_log_prob(noise)

    # -- rsl_rl's contract

    def train_mode(self) -> None:
        """Set the models to training."""
        self.actor.train()
        self.critic.train()

    def eval_mode(self) -> None:
        """Set the models to evaluation."""
        self.actor.eval()
        self.critic.eval()

    def save(self) -> dict[str, Any]:
        """Return everything that :meth:`load` needs, the replay buffer included."""
        return {
            "actor_state_dict": self.actor.state_dict(),
            "critic_state_dict": self.critic.state_dict(),
            "target_state_dict": self.target_members.state_dict(),
            "log_alpha": self.log_alpha.detach().clone(),
            "actor_optimizer_state_dict": self.actor_optimizer.state_dict(),
            "critic_optimizer_state_dict": self.critic_optimizer.state_dict(),
            "alpha_optimizer_state_dict": self.alpha_optimizer.state_dict(),
            "num_updates": self.num_updates,
            "replay": self.replay.state_dict(),
        }

    def load(self, loaded_dict: dict[str, Any], load_cfg: dict | None, strict: bool) -> bool:
        """Restore what :meth:`save` returned; ``load_cfg`` selects nothing, since a learner is continued whole."""
        self.actor.load_state_dict(loaded_dict["actor_state_dict"], strict=strict)
        self.critic.load_state_dict(loaded_dict["critic_state_dict"], strict=strict)
        self.target_members.load_state_dict(loaded_dict["target_state_dict"], strict=strict)
        with torch.no_grad():
            self.log_alpha.copy_(loaded_dict["log_alpha"])
        self.actor_optimizer.load_state_dict(loaded_dict["actor_optimizer_state_dict"])
        self.critic_optimizer.load_state_dict(loaded_dict["critic_optimizer_state_dict"])
        self.alpha_optimizer.load_state_dict(loaded_dict["alpha_optimizer_state_dict"])
        if self.native is not None:
            self.native.adopt()
        self.num_updates = loaded_dict["num_updates"]
        self.replay.load_state_dict(loaded_dict["replay"])
        return True

    def get_policy(self) -> MLPModel:
        """Return the actor."""
        return self.actor

    @staticmethod
    def construct_algorithm(obs: TensorDict, env: VecEnv, cfg: dict[str, Any], device: str) -> SAC:
        """Make the learner of rsl_rl's configuration.

        If the environment has ``critic_action``, the critic is told what that returns of an output.

        Raises:
            ZprlError: If it is to learn in several processes.
        """
        if cfg.get("multi_gpu") is not None:
            raise ZprlError("SAC learns in one process; use --algo ppo for several.")
        algorithm_class, settings = resolve_class(cfg["algorithm"])
        actor_class, actor_cfg = resolve_class(cfg["actor"])
        critic_class, critic_cfg = resolve_class(cfg["critic"])
        groups = cfg["obs_groups"] = resolve_obs_groups(obs, cfg["obs_groups"], ["actor", "critic"])
        critic_action: CriticAction = getattr(env, "critic_action", CriticAction())
        width = critic_action(obs, torch.zeros(obs.batch_size[0], env.num_actions, device=obs.device)).shape[-1]
        actor = actor_class(obs, groups, "actor", env.num_actions, **actor_cfg)
        critic = critic_class(obs, groups, "critic", width, **critic_cfg)
        told = () if critic_action.feature is None else (critic_action.feature,)
        stored = {name: obs[name] for name in dict.fromkeys([*groups["actor"], *groups["critic"], *told])}
        replay = ReplayBuffer(settings["replay_capacity"], env.num_envs, stored, env.num_actions, device)
        return algorithm_class(
            actor, critic, replay, critic_action, cfg["num_steps_per_env"], device=device, **settings
        )


def check_sac(algorithm: SacAlgorithmCfg, critic: EnsembleCriticCfg, num_envs: int) -> None:
    """Refuse settings that do not go together.

    Raises:
        ZprlError: If a target's subset is larger than the ensemble, or the replay buffer has no room for a step.
    """
    if algorithm.subset_size > critic.num_members:
        raise ZprlError(
            f"agent.algorithm.subset_size is {algorithm.subset_size}, but there are only {critic.num_members} critics; "
            "raise agent.critic.num_members."
        )
    if algorithm.replay_capacity < num_envs:
        raise ZprlError(
            f"agent.algorithm.replay_capacity={algorithm.replay_capacity} has no room for a transition of each of "
            f"{num_envs} worlds; raise it."
        )
