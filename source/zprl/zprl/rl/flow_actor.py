# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The flow policy as an actor of rsl_rl's PPO: a chain of Gaussian steps, whose likelihood is exact.

ReinFlow (arXiv 2505.22094) adds noise of a learned, bounded size after every integration step of a flow,

    x_{k+1} = x_k - v(x_k, t_k | obs) / K + sigma_k(obs) * eps,    k = 0 .. K-1,

so that the density of the chain x_1 .. x_K is the product of K Gaussians. DPPO (arXiv 2409.00588) does the same for
diffusion with a noise of fixed size.
"""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from zprl.policies import FlowPolicy
from zprl.policies.flow.flow_matching import SOLVERS, evaluation_times, time_features
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Increasing, Name, PositiveFloat, PositiveInt
from zprl.utils.modules import make_mlp

_TIME_FEATURES = 16


@configclass
class FlowActorCfg:
    """Settings of :class:`FlowActor`."""

    class_name: Name = "zprl.rl.flow_actor:FlowActor"

    std_range: Annotated[tuple[PositiveFloat, PositiveFloat], Increasing()] = (0.08, 0.25)
    """Bounds of the standard deviation of each integration step's noise, in normalised actions."""

    learn_std: bool = True
    """Whether a network chooses the deviation within the bounds, as in ReinFlow, or it is their geometric mean
    throughout, as in DPPO."""

    mean_log_prob: bool = True
    """Whether PPO compares the geometric mean of the chain's densities, which its clip is chosen for, or their product.
    """

    std_hidden_dims: list[PositiveInt] = [64, 64]
    """Widths of the hidden layers of the network that chooses the deviation."""


class FlowActor(nn.Module):
    """A trainable copy of a flow policy, whose output is the chain (N, K * H * A) of normalised chunks.

    The deterministic output is the chain without noise; its last state is the chunk that the copied policy acts with
    through its bottleneck.

    The arguments are those of :class:`rsl_rl.models.MLPModel`, the policy to copy, and :class:`FlowActorCfg`'s.

    Raises:
        ValueError: If the actor is to see anything but the policy group, or the length of the chain is another.
    """

    is_recurrent = False
    times: Tensor

    def __init__(
        self,
        obs: TensorDict,
        obs_groups: dict[str, list[str]],
        obs_set: str,
        output_dim: int,
        policy: FlowPolicy,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.cfg = FlowActorCfg(**settings)
        if list(obs_groups[obs_set]) != ["policy"]:
            raise ValueError("a flow policy sees the observation group policy alone.")
        steps, (horizon, action_dim) = policy.cfg.num_flow_steps, policy.chunk_shape
        if output_dim != steps * horizon * action_dim:
            raise ValueError(f"the chain of this policy has {steps * horizon * action_dim} numbers, not {output_dim}.")
        self.policy = copy.deepcopy(policy).requires_grad_(True)
        self.chain_shape = (steps, horizon, action_dim)
        times = torch.tensor(evaluation_times(SOLVERS["euler"], steps))
        self.register_buffer("times", times, persistent=False)
        self.std_network: nn.Sequential | None = None
        if self.cfg.learn_std:
            width = policy.cfg.embed_dim + _TIME_FEATURES
            self.std_network = make_mlp(width, self.cfg.std_hidden_dims, horizon * action_dim)
            last = self.std_network[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self._condition, self._log_std, self._means = torch.empty(0), torch.empty(0), torch.empty(0)

    def forward(
        self, obs: TensorDict, masks: Tensor | None = None, hidden_state: Any = None, stochastic_output: bool = False
    ) -> Tensor:
        """Return a chain (N, output_dim); see :meth:`rsl_rl.models.MLPModel.forward`.

        Gradients reach the likelihoods that are asked for afterwards, not the chain.
        """
        raw = obs["policy"]
        self._condition = self.policy.decode(self.policy.encode(raw)[0])
        self._log_std = self._log_std_of(self._condition)
        with torch.no_grad():
            x = self.policy.sample_noise(raw.shape[0])
            chain, means = [], []
            for k, velocity in enumerate(self._velocities()):
                x = x - velocity(x) / self.chain_shape[0]
                means.append(x)
                if stochastic_output:
                    x = x + self._log_std[:, k].exp() * torch.randn_like(x)
                chain.append(x)
            self._means = torch.stack(means, dim=1)
        return torch.stack(chain, dim=1).flatten(1)

    def get_output_log_prob(self, outputs: Tensor) -> Tensor:
        """Return the log-densities (N,) of chains (N, output_dim) for the observations of the last :meth:`forward`.

        With ``mean_log_prob`` they are divided by ``output_dim``, as in the code of DPPO and ReinFlow: the ratio of the
        densities of hundreds of numbers leaves any narrow band around one after the smallest step, and PPO's clip would
        stop all learning.
        """
        chain = outputs.unflatten(1, self.chain_shape)
        start = self.policy.sample_noise(chain.shape[0])
        before = [start, *chain.unbind(dim=1)[:-1]]
        means = [x - velocity(x) / self.chain_shape[0] for x, velocity in zip(before, self._velocities(), strict=True)]
        self._means = torch.stack(means, dim=1)
        deviation = (chain - self._means) / self._log_std.exp()
        log_prob = -0.5 * deviation.square() - self._log_std - 0.5 * math.log(2.0 * math.pi)
        return log_prob.flatten(1).mean(dim=1) if self.cfg.mean_log_prob else log_prob.flatten(1).sum(dim=1)

    def _velocities(self) -> list[Any]:
        """Return the velocity as a function of the state, for each step."""
        field = self.policy.velocity_field
        tables, modulation = field.time_tables(self.times), field.modulation(self._condition)
        return [lambda x, row=row: field.velocity(x, modulation, row) for row in tables]

    def _log_std_of(self, condition: Tensor) -> Tensor:
        """Return the logarithm of the noise's deviations, shape (N, K, H, A)."""
        low, high = (math.log(bound) for bound in self.cfg.std_range)
        count, (steps, horizon, action_dim) = condition.shape[0], self.chain_shape
        if self.std_network is None:
            return condition.new_full((count, *self.chain_shape), 0.5 * (low + high))
        times = time_features(self.times, _TIME_FEATURES).expand(count, -1, -1)
        seen = torch.cat([condition[:, None].expand(-1, steps, -1), times], dim=-1)
        squashed = torch.tanh(self.std_network(seen)).unflatten(-1, (horizon, action_dim))
        return low + 0.5 * (high - low) * (squashed + 1.0)

    # -- rsl_rl's contract of a model

    @property
    def output_mean(self) -> Tensor:
        """Mean of each state of the last chain given the state before it, shape (N, output_dim)."""
        return self._means.flatten(1)

    @property
    def output_std(self) -> Tensor:
        """Deviation of each state of the last chain given the state before it, shape (N, output_dim)."""
        return self._log_std.exp().flatten(1)

    @property
    def output_entropy(self) -> Tensor:
        """Sum of the steps' entropies given the state before them, shape (N,)."""
        return (self._log_std + 0.5 * math.log(2.0 * math.pi * math.e)).flatten(1).sum(dim=1)

    @property
    def output_distribution_params(self) -> tuple[Tensor, ...]:
        """Means and deviations, of the chain that was sampled last or whose likelihood was asked for last."""
        return self.output_mean, self.output_std

    def get_kl_divergence(self, old_params: tuple[Tensor, ...], new_params: tuple[Tensor, ...]) -> Tensor:
        """Return the sum of the steps' KL divergences from old to new along the same chains, shape (N,)."""
        (old_mean, old_std), (new_mean, new_std) = old_params, new_params
        variance, distance = old_std.square(), (old_mean - new_mean).square()
        kl = torch.log(new_std / old_std) + (variance + distance) / (2.0 * new_std.square()) - 0.5
        return kl.sum(dim=1)

    def reset(self, dones: Tensor | None = None, hidden_state: Any = None) -> None:
        """Do nothing: there is no memory."""

    def get_hidden_state(self) -> None:
        """Return None: there is no memory."""

    def update_normalization(self, obs: TensorDict) -> None:
        """Do nothing: the policy keeps the normalisers of its demonstrations."""
