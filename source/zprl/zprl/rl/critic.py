# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An ensemble of critics of state and action, computed together as batched matrix products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from rsl_rl.modules import EmpiricalNormalization
from rsl_rl.utils import resolve_nn_activation
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional


class EnsembleLinear(nn.Module):
    """E linear layers, (E, B, input_dim) to (E, B, output_dim), each initialised as torch's own.

    Args:
        num_members: Number of layers E.
        input_dim: Width of the input.
        output_dim: Width of the output.
    """

    def __init__(self, num_members: int, input_dim: int, output_dim: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(input_dim)
        self.weight = nn.Parameter(torch.empty(num_members, input_dim, output_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_members, 1, output_dim).uniform_(-bound, bound))

    def forward(self, x: Tensor, members: Tensor | None = None) -> Tensor:
        """Apply all layers, or those with the indices ``members`` (M,)."""
        if members is None:
            return torch.baddbmm(self.bias, x, self.weight)
        return torch.baddbmm(self.bias[members], x, self.weight[members])


class EnsembleMLP(nn.Module):
    """E networks from an input (B, input_dim) to one number each.

    Args:
        num_members: Number of networks E.
        input_dim: Width of the input.
        hidden_dims: Widths of the hidden layers.
        activation: rsl_rl's name of the activation.
        layer_norm: Whether each network normalises its hidden layers, before the activation, by its own LayerNorm.
        bounded: Whether the outputs are squashed to (0, 1) by ``(tanh(x) + 1) / 2``.
    """

    def __init__(
        self,
        num_members: int,
        input_dim: int,
        hidden_dims: Sequence[int],
        activation: str,
        layer_norm: bool,
        bounded: bool,
    ) -> None:
        super().__init__()
        widths = [input_dim, *hidden_dims]
        self.hidden = nn.ModuleList(EnsembleLinear(num_members, n, m) for n, m in itertools.pairwise(widths))
        self.output = EnsembleLinear(num_members, widths[-1], 1)
        self.activation = resolve_nn_activation(activation)
        self.scales = nn.ParameterList(torch.ones(num_members, 1, n) for n in hidden_dims if layer_norm)
        self.shifts = nn.ParameterList(torch.zeros(num_members, 1, n) for n in hidden_dims if layer_norm)
        self.bounded = bounded
        self.num_members = num_members

    def forward(self, x: Tensor, members: Tensor | None = None) -> Tensor:
        """Return the outputs (E, B), or those of the networks with the indices ``members`` (M,) as (M, B)."""
        h = x.expand(self.num_members if members is None else len(members), *x.shape)
        for i, layer in enumerate(self.hidden):
            h = layer(h, members)
            if len(self.scales):
                scale, shift = self.scales[i], self.shifts[i]
                if members is not None:
                    scale, shift = scale[members], shift[members]
                h = torch.addcmul(shift, functional.layer_norm(h, h.shape[-1:]), scale)
            h = self.activation(h)
        q = self.output(h, members).squeeze(-1)
        return 0.5 * (torch.tanh(q) + 1.0) if self.bounded else q


class EnsembleCritic(nn.Module):
    """Q(s, a) of E networks; the state is rsl_rl's observation groups, the action what the steering says of it.

    Args:
        obs: Observation groups by name; their widths count.
        obs_groups: Groups by observation set.
        obs_set: The set that the critic sees.
        action_dim: Width of the action.
        num_members: Number of networks E.
        hidden_dims: Widths of the hidden layers.
        activation: rsl_rl's name of the activation.
        layer_norm: See :class:`EnsembleMLP`.
        bounded: See :class:`EnsembleMLP`.
        obs_normalization: Whether to normalise the state by running statistics.
    """

    def __init__(
        self,
        obs: TensorDict,
        obs_groups: dict[str, list[str]],
        obs_set: str,
        action_dim: int,
        num_members: int = 10,
        hidden_dims: Sequence[int] = (256, 256, 256),
        activation: str = "gelu",
        layer_norm: bool = False,
        bounded: bool = True,
        obs_normalization: bool = False,
    ) -> None:
        super().__init__()
        self.obs_groups = obs_groups[obs_set]
        obs_dim = sum(obs[name].shape[-1] for name in self.obs_groups)
        self.obs_normalizer = EmpiricalNormalization(obs_dim) if obs_normalization else nn.Identity()
        self.members = EnsembleMLP(num_members, obs_dim + action_dim, hidden_dims, activation, layer_norm, bounded)

    def inputs(self, obs: Mapping[str, Tensor], action: Tensor) -> Tensor:
        """Return the networks' input (B, ...) for a state and an action (B, action_dim)."""
        state = torch.cat([obs[name] for name in self.obs_groups], dim=-1)
        return torch.cat([self.obs_normalizer(state), action], dim=-1)

    def forward(self, obs: Mapping[str, Tensor], action: Tensor) -> Tensor:
        """Return Q(s, a) of all networks, shape (E, B)."""
        return self.members(self.inputs(obs, action))

    def update_normalization(self, obs: Mapping[str, Tensor]) -> None:
        """Let the running statistics take in states."""
        if isinstance(self.obs_normalizer, EmpiricalNormalization):
            self.obs_normalizer.update(torch.cat([obs[name] for name in self.obs_groups], dim=-1))
