# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The encoder of states."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from zprl.policies.flow.cfg import FlowPolicyCfg
from zprl.utils.errors import ZprlError
from zprl.utils.modules import make_mlp


class ObservationEmbedding(nn.Module):
    """MLP from a normalised state to the embedding e.

    Raises:
        ZprlError: If there are images.
    """

    def __init__(self, cfg: FlowPolicyCfg, obs_dim: int, image_shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        if image_shapes:
            raise ZprlError(
                f"the encoder {type(self).__name__} sees no images, but the policy is to see {', '.join(image_shapes)};"
                " choose another policy.embedding_class, such as zprl.policies.flow.encoders:ImageEmbedding."
            )
        self.mlp = make_mlp(obs_dim, cfg.embed_hidden_dims, cfg.embed_dim)

    def forward(self, obs: Tensor) -> Tensor:
        """Embed a normalised state: (N, obs_dim) to (N, embed_dim)."""
        return self.mlp(obs)
