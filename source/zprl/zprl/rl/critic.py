# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An ensemble of critics of state and action, computed together as batched matrix products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from rsl_rl.modules import EmpiricalNormalization
from rsl_rl.utils import resolve_nn_activation
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional

from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, OneOf, PositiveInt

Activation = Annotated[
    str,
    OneOf(
        *("elu", "selu", "relu", "crelu", "lrelu", "tanh", "sigmoid", "softplus", "gelu", "swish", "mish", "identity"),
    ),
]
"""An activation, as :func:`rsl_rl.utils.resolve_nn_activation` names it."""


@configclass
class EnsembleCriticCfg:
    """Settings of :class:`EnsembleCritic`."""

    class_name: Name = "zprl.rl.critic:EnsembleCritic"

    num_members: PositiveInt = 2
    """Number of critics."""

    hidden_dims: list[PositiveInt] = [128, 128]
    """Widths of the hidden layers."""

    activation: Activation = "gelu"
    """Activation between them, as rsl_rl names it."""

    layer_norm: bool = False
    """Whether each critic normalises its hidden layers, before the activation, by its own LayerNorm; for shaped
    rewards."""

    bounded: bool = True
    """Whether values are squashed to (0, 1) by ``(tanh(x) + 1) / 2``, which fits a reward of 1 per success; turn it off
    for shaped rewards."""

    obs_normalization: bool = True
    """Whether to normalise the observations by running statistics."""


class EnsembleLinear(nn.Module):
    """E linear layers, (E, B, input_dim) to (E, B, output_dim), each initialised as torch's own."""

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
    """E networks from an input (B, input_dim) to one number each."""

    def __init__(self, input_dim: int, cfg: EnsembleCriticCfg) -> None:
        super().__init__()
        self.num_members, self.bounded = cfg.num_members, cfg.bounded
        widths = [input_dim, *cfg.hidden_dims]
        self.hidden = nn.ModuleList(EnsembleLinear(self.num_members, n, m) for n, m in itertools.pairwise(widths))
        self.output = EnsembleLinear(self.num_members, widths[-1], 1)
        self.activation = resolve_nn_activation(cfg.activation)
        normalised = cfg.hidden_dims if cfg.layer_norm else []
        self.scales = nn.ParameterList(torch.ones(self.num_members, 1, n) for n in normalised)
        self.shifts = nn.ParameterList(torch.zeros(self.num_members, 1, n) for n in normalised)

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

    The arguments are those of :class:`rsl_rl.models.MLPModel`, the action's width, and :class:`EnsembleCriticCfg`'s.
    """

    def __init__(
        self, obs: TensorDict, obs_groups: dict[str, list[str]], obs_set: str, action_dim: int, **settings: Any
    ) -> None:
        super().__init__()
        cfg = EnsembleCriticCfg(**settings)
        self.obs_groups = obs_groups[obs_set]
        obs_dim = sum(obs[name].shape[-1] for name in self.obs_groups)
        self.obs_normalizer = EmpiricalNormalization(obs_dim) if cfg.obs_normalization else nn.Identity()
        self.members = EnsembleMLP(obs_dim + action_dim, cfg)

    def inputs(self, obs: Mapping[str, Tensor], action: Tensor) -> Tensor:
        """Return the networks' input (B, ...) for a state and an action (B, action_dim)."""
        return torch.cat([self.obs_normalizer(self._state(obs)), action], dim=-1)

    def forward(self, obs: Mapping[str, Tensor], action: Tensor) -> Tensor:
        """Return Q(s, a) of all networks, shape (E, B)."""
        return self.members(self.inputs(obs, action))

    def update_normalization(self, obs: Mapping[str, Tensor]) -> None:
        """Let the running statistics take in states."""
        if isinstance(self.obs_normalizer, EmpiricalNormalization):
            self.obs_normalizer.update(self._state(obs))

    def _state(self, obs: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([obs[name] for name in self.obs_groups], dim=-1)
