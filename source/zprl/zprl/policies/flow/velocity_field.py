# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Velocity field v(x, t | condition) of the flow, with conditioning that separates into condition and time.

Standard AdaLN (arXiv 2212.09748) maps ``condition + time`` through one linear layer per block, at every evaluation.
Here the two terms pass through networks of their own and meet in a sum:

* ``modulation(condition)`` depends on the sample alone: one linear layer, once per chunk, shared by all blocks
  (AdaLN-single, arXiv 2310.00426);
* ``time_tables(times)`` depends on the weights alone: once per solver schedule, and stored by a compiled policy.

What remains per evaluation are the residual blocks. This more than halves the arithmetic of a chunk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from zprl.policies.flow.cfg import FlowPolicyCfg
from zprl.policies.flow.flow_matching import time_features


class VelocityField(nn.Module, ABC):
    """Interface of a velocity field. Only :meth:`forward` is required; the other methods let a chunk reuse work."""

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor, t: Tensor) -> Tensor:
        """Velocity of a noisy chunk.

        Args:
            x: Noisy normalised chunk (N, H, A).
            condition: Embedding or decoded latent (N, embed_dim).
            t: Flow time (N,) in [0, 1].

        Returns:
            Velocity (N, H, A), per unit of flow time.
        """

    def modulation(self, condition: Tensor) -> Tensor:
        """Everything that depends on the condition (N, embed_dim) alone, as a tensor (N, ...)."""
        return condition

    def time_tables(self, times: Tensor) -> Tensor:
        """Everything that depends on the flow times (R,) alone, as a tensor (R, ...)."""
        return times

    def velocity(self, x: Tensor, modulation: Tensor, time_row: Tensor) -> Tensor:
        """What :meth:`forward` returns, from the results of :meth:`modulation` and :meth:`time_tables`.

        Args:
            x: Noisy normalised chunk (N, H, A).
            modulation: Result of :meth:`modulation`.
            time_row: One row of :meth:`time_tables`, shared by the batch, or one row per sample (N, ...).
        """
        return self(x, modulation, time_row.expand(x.shape[0]))


class ResidualBlock(nn.Module):
    """Modulated LayerNorm, Linear, SiLU, Linear, gate, residual."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.linear_in = nn.Linear(hidden_dim, hidden_dim)
        self.linear_out = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, h: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        """Advance the residual stream h (N, hidden_dim); the others broadcast to it."""
        u = modulated_layer_norm(h, shift, scale)
        return torch.addcmul(h, gate, self.linear_out(functional.silu(self.linear_in(u))))


def modulated_layer_norm(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without affine parameters, then ``* (1 + scale) + shift``."""
    return torch.addcmul(shift, functional.layer_norm(h, h.shape[-1:]), 1.0 + scale)


class ResidualMLPVelocityField(VelocityField):
    """Residual MLP over the flattened chunk. See the module's text for its conditioning.

    With the modulation [input_bias, shift, scale, gate] of the sample and, for a time, the table row
    [input | shift_l, scale_l, gate_l of each block | final shift, final scale]::

        h = Linear(x) + input_bias + input
        h = h + (gate + gate_l) * Linear(silu(Linear(LN(h) * (1 + scale + scale_l) + shift + shift_l)))   for each l
        v = Linear(LN(h) * (1 + scale + final scale) + shift + final shift)

    The modulation is one linear layer on silu(condition), as in DiT: the embedding ends in a linear layer, and two
    linear layers in a row would be one. Gates and output start at zero (AdaLN-Zero): the field starts as v = 0 with
    every block an identity.
    """

    def __init__(self, cfg: FlowPolicyCfg, action_dim: int) -> None:
        super().__init__()
        hidden, chunk_dim = cfg.velocity_hidden_dim, cfg.horizon * action_dim
        self.hidden_dim = hidden
        self.time_embed_dim = cfg.time_embed_dim
        self.input = nn.Linear(chunk_dim, hidden)
        self.condition_modulation = nn.Linear(cfg.embed_dim, 4 * hidden)
        time_output = nn.Linear(cfg.time_embed_dim, (3 * cfg.velocity_num_blocks + 3) * hidden)
        self.time_mlp = nn.Sequential(nn.Linear(cfg.time_embed_dim, cfg.time_embed_dim), nn.SiLU(), time_output)
        self.blocks = nn.ModuleList(ResidualBlock(hidden) for _ in range(cfg.velocity_num_blocks))
        self.output = nn.Linear(hidden, chunk_dim)

        # All but the input biases: shifts, scales and gates of the samples and of the times.
        for layer in (self.condition_modulation, time_output):
            nn.init.zeros_(layer.weight[hidden:])
            nn.init.zeros_(layer.bias[hidden:])
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def modulation(self, condition: Tensor) -> Tensor:
        """Modulation (N, 4 hidden_dim) of a condition (N, embed_dim): input bias, shift, scale, gate."""
        return self.condition_modulation(functional.silu(condition))

    def time_tables(self, times: Tensor) -> Tensor:
        """Table (R, (3 num_blocks + 3) hidden_dim) of the flow times (R,)."""
        return self.time_mlp(time_features(times, self.time_embed_dim))

    def velocity(self, x: Tensor, modulation: Tensor, time_row: Tensor) -> Tensor:
        """See :meth:`VelocityField.velocity`."""
        input_bias, shift, scale, gate = modulation.chunk(4, dim=-1)
        time = time_row.unflatten(-1, (-1, self.hidden_dim)).unbind(-2)
        h = self.input(x.flatten(1)) + input_bias + time[0]
        for index, block in enumerate(self.blocks):
            block_shift, block_scale, block_gate = time[3 * index + 1 : 3 * index + 4]
            h = block(h, shift + block_shift, scale + block_scale, gate + block_gate)
        u = modulated_layer_norm(h, shift + time[-2], scale + time[-1])
        return self.output(u).view_as(x)

    def forward(self, x: Tensor, condition: Tensor, t: Tensor) -> Tensor:
        """See :meth:`VelocityField.forward`."""
        return self.velocity(x, self.modulation(condition), self.time_tables(t))
