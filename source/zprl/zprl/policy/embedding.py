# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Observation embedding: the part of the base policy that a camera user replaces."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .flow_policy_cfg import FlowPolicyCfg


def make_mlp(input_dim: int, hidden_dims: Sequence[int], output_dim: int) -> nn.Sequential:
    """Return Linear layers with GELU (the exact one, through the error function) between them."""
    layers: list[nn.Module] = []
    for width in hidden_dims:
        layers += [nn.Linear(input_dim, width), nn.GELU()]
        input_dim = width
    return nn.Sequential(*layers, nn.Linear(input_dim, output_dim))


class ObservationEmbedding(nn.Module):
    """MLP from a normalised observation to the embedding e.

    Args:
        cfg: Configuration of the policy.
        obs_dim: Width of the observation.
    """

    def __init__(self, cfg: FlowPolicyCfg, obs_dim: int) -> None:
        super().__init__()
        self.mlp = make_mlp(obs_dim, cfg.embed_hidden_dims, cfg.embed_dim)

    def forward(self, obs: Tensor) -> Tensor:
        """Embed a normalised observation: (N, obs_dim) to (N, embed_dim)."""
        return self.mlp(obs)
