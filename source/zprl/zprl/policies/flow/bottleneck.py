# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Variational information bottleneck (arXiv 1612.00410) between the observation embedding and the velocity field.

ZPRL (arXiv 2605.19919) places it there so that reinforcement learning gets a small, smooth space to act in: the latent
z, in which every point near the prior decodes to a condition that the frozen velocity field knows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zprl.policies.flow.cfg import FlowPolicyCfg
from zprl.utils.modules import make_mlp

LOGVAR_MIN, LOGVAR_MAX = -20.0, 10.0
"""Bounds of the log-variance. They only keep exp() finite: training stays far inside them."""


class VariationalBottleneck(nn.Module):
    """Encoder e -> N(mean, exp(logvar)) and decoder z -> condition."""

    def __init__(self, cfg: FlowPolicyCfg) -> None:
        super().__init__()
        self.encoder = make_mlp(cfg.embed_dim, cfg.vib_hidden_dims, 2 * cfg.latent_dim)
        self.decoder = make_mlp(cfg.latent_dim, tuple(reversed(cfg.vib_hidden_dims)), cfg.embed_dim)

    def encode(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Encode an embedding (N, embed_dim) into the latent's mean and log-variance, (N, latent_dim) each."""
        mean, logvar = self.encoder(embedding).chunk(2, dim=-1)
        return mean, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode a latent (N, latent_dim) into a condition of the velocity field (N, embed_dim)."""
        return self.decoder(latent)


def sample_latent(mean: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Sample z ~ N(mean, exp(logvar)) so that gradients reach both (arXiv 1312.6114, Sec. 2.4).

    Args:
        mean: Mean (N, latent_dim).
        logvar: Log-variance (N, latent_dim).
        generator: Source of randomness, on the tensors' device; torch's default one if None.
    """
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + torch.exp(0.5 * logvar) * noise


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence from N(mean, exp(logvar)) to N(0, I), as the MEAN over the batch and the latent dimensions.

    It is -1/2 (1 + logvar - mean^2 - exp(logvar)) (arXiv 1312.6114, App. B). With a sum over the dimensions instead,
    the same beta would weigh ``latent_dim`` times as much.

    Args:
        mean: Mean (N, latent_dim).
        logvar: Log-variance (N, latent_dim).

    Returns:
        Divergence per latent dimension, in nats, of shape ().
    """
    return -0.5 * (1.0 + logvar - mean.square() - logvar.exp()).mean()
