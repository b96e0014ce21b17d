# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A bottleneck on the condition of an imported policy, trained afterwards on the user's data with the policy frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from zprl.policies.flow.bottleneck import LOGVAR_MAX, LOGVAR_MIN, kl_to_standard_normal, sample_latent
from zprl.policies.imported.policy import MODES, ImportedPolicy
from zprl.utils.configclass import configclass
from zprl.utils.constraints import NonNegativeFloat, NotEmpty, OneOf, PositiveFloat, PositiveInt, Seed
from zprl.utils.modules import make_mlp, rms

_MIN_STD = 1.0e-3
"""Least deviation that an element of the condition is divided by, whose usual range is [-1, 1]."""

_STATISTICS = ("latent_mean_rms", "latent_std_rms", "embedding_rms", "recon_error_rms")


@configclass
class ImportedBottleneckCfg:
    """Settings of the bottleneck of an imported base policy, and of its training."""

    mode: Annotated[str, OneOf(*MODES)] = "residual"
    """How it is used: "residual", the condition is ``e + dec(z') - dec(z)`` and ``z' = z`` is the policy as it was
    imported, or "decode", the condition is ``dec(z')``. No weight depends on it."""

    latent_dim: PositiveInt = 16
    """Width of the latent z, which is the action space of reinforcement learning."""

    hidden_dims: Annotated[tuple[PositiveInt, ...], NotEmpty()] = (256, 256, 256)
    """Widths of the hidden layers of its encoder; its decoder has the same."""

    num_steps: PositiveInt = 1500
    """Number of optimiser steps."""

    batch_size: PositiveInt = 32
    """Number of observations of an optimiser step, drawn with replacement. The policy's generator is gone through
    backwards for each."""

    learning_rate: PositiveFloat = 1.0e-3
    """Peak learning rate of AdamW, which falls to zero along a cosine."""

    beta: NonNegativeFloat = 2.0e-4
    """Weight of the KL divergence, a mean over the latent's dimensions."""

    recon: NonNegativeFloat = 0.01
    """Weight of the mean squared error between decoded latent and condition, in units of the condition's deviation."""

    seed: Seed = 0
    """Seed of the initial weights, of the batches and of the noise."""


class ImportedBottleneck(nn.Module):
    """Encoder e -> N(mean, exp(logvar)) and decoder z -> condition, in the condition's own units.

    Args:
        embedding_size: Length E of the condition.
        latent_dim: Length L of the latent.
        hidden_dims: Widths of the hidden layers.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, embedding_size: int, latent_dim: int, hidden_dims: Sequence[int]) -> None:
        super().__init__()
        self.latent_dim, self.hidden_dims = latent_dim, tuple(hidden_dims)
        self.encoder = make_mlp(embedding_size, self.hidden_dims, 2 * latent_dim)
        self.decoder = make_mlp(latent_dim, tuple(reversed(self.hidden_dims)), embedding_size)
        self.register_buffer("mean", torch.zeros(embedding_size))
        self.register_buffer("std", torch.ones(embedding_size))
        self.statistics: dict[str, float] = {}
        """RMS values over the data set: of the latent's mean and deviation, of the condition, and of what the decoded
        mean is off by."""

    def encode(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, (N, L) each, of conditions (N, E)."""
        mean, logvar = self.encoder((embedding - self.mean) / self.std).chunk(2, dim=-1)
        return mean, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX)

    def decode(self, latent: Tensor) -> Tensor:
        """Condition (N, E) of latents (N, L)."""
        return self.decoder(latent) * self.std + self.mean

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and tensors that :meth:`from_dict` takes."""
        return {
            "latent_dim": self.latent_dim,
            "hidden_dims": list(self.hidden_dims),
            "weights": dict(self.state_dict()),
            "statistics": dict(self.statistics),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], embedding_size: int) -> ImportedBottleneck:
        """Return the bottleneck that a file holds.

        Raises:
            KeyError: If something is missing.
            TypeError: If something has a wrong type.
            ValueError: If its weights do not fit.
        """
        weights, hidden = values["weights"], [int(width) for width in values["hidden_dims"]]
        if 2 * len(hidden) > len(weights):
            raise ValueError("a bottleneck declares more layers than it has")
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            bottleneck = cls(embedding_size, int(values["latent_dim"]), hidden)
        try:
            bottleneck.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[-1].strip()) from error
        bottleneck.statistics = {name: float(values["statistics"][name]) for name in _STATISTICS}
        if not all(math.isfinite(value) and value > 0.0 for value in bottleneck.statistics.values()):
            raise ValueError("a bottleneck has a statistic that is no positive number")
        return bottleneck.eval().requires_grad_(False)


def train_bottleneck(
    policy: ImportedPolicy,
    embeddings: Tensor,
    chunks: Tensor,
    cfg: ImportedBottleneckCfg,
    on_progress: Callable[[int, dict[str, float]], None] = lambda step, metrics: None,
) -> ImportedBottleneck:
    """Train a bottleneck; the policy's weights stay as they are.

    The loss is that which the policy was trained by, through the decoded latent, and ``beta`` times the KL divergence
    and ``recon`` times the reconstruction error.

    Args:
        policy: The policy, frozen.
        embeddings: Conditions (M, E) of a data set's observations, computed once.
        chunks: The raw actions (M, horizon, A) that belong to them.
        cfg: Settings.
        on_progress: Called every 50 steps with their number and the terms of the loss.

    Raises:
        ValueError: If the loss is not finite.
    """
    device = embeddings.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        bottleneck = ImportedBottleneck(embeddings.shape[1], cfg.latent_dim, cfg.hidden_dims).to(device)
    bottleneck.mean.copy_(embeddings.mean(dim=0))
    bottleneck.std.copy_(embeddings.std(dim=0).clamp_min(_MIN_STD))
    generator = torch.Generator(device).manual_seed(cfg.seed)
    optimizer = torch.optim.AdamW(bottleneck.parameters(), lr=cfg.learning_rate, weight_decay=1.0e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cfg.num_steps)
    for step in range(1, cfg.num_steps + 1):
        rows = torch.randint(len(embeddings), (cfg.batch_size,), generator=generator, device=device)
        e = embeddings[rows]
        mean, logvar = bottleneck.encode(e)
        condition = bottleneck.decode(sample_latent(mean, logvar, generator))
        imitation = policy.imitation_loss(condition, chunks[rows], generator)
        kl, recon = kl_to_standard_normal(mean, logvar), ((condition - e) / bottleneck.std).square().mean()
        loss = imitation + cfg.beta * kl + cfg.recon * recon
        if not torch.isfinite(loss):
            raise ValueError(f"the loss is {loss.item()} at step {step}; lower agent.imported.learning_rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == cfg.num_steps:
            on_progress(step, {"imitation": imitation.item(), "kl": kl.item(), "recon": recon.item()})
    bottleneck.eval().requires_grad_(False)
    with torch.no_grad():
        mean, logvar = bottleneck.encode(embeddings)
        bottleneck.statistics = {
            "latent_mean_rms": rms(mean).item(),
            "latent_std_rms": rms((0.5 * logvar).exp()).item(),
            "embedding_rms": rms(embeddings).item(),
            "recon_error_rms": rms(bottleneck.decode(mean) - embeddings).item(),
        }
    return bottleneck
