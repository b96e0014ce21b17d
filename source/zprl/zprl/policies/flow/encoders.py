# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Observation embedding: the part of the base policy that a camera user replaces."""

from __future__ import annotations

from torch import Tensor, nn

from zprl.policies.flow.cfg import FlowPolicyCfg
from zprl.utils.modules import make_mlp


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
