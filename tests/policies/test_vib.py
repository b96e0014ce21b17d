# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The bottleneck against numbers worked out by hand."""

import math

import pytest
import torch

from zprl.policies import FlowPolicyCfg, VariationalBottleneck, kl_to_standard_normal, sample_latent


def test_kl_is_the_mean_over_batch_and_dimensions():
    mean = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    logvar = torch.tensor([[0.0, math.log(4.0)], [0.0, 0.0]])
    # Entries: 1/2, (4 - 1 - ln 4) / 2, 0, 0.
    expected = (0.5 + 0.5 * (3.0 - math.log(4.0))) / 4.0
    assert kl_to_standard_normal(mean, logvar).item() == pytest.approx(expected, rel=1e-6)


def test_kl_agrees_with_torch_distributions():
    generator = torch.Generator().manual_seed(1)
    mean, logvar = torch.randn(2, 7, 5, generator=generator, dtype=torch.float64)
    normal = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(normal, standard).mean()
    torch.testing.assert_close(kl_to_standard_normal(mean, logvar), expected)


def test_samples_have_the_encoded_moments():
    mean, logvar = torch.tensor([[3.0, -1.0]]), torch.tensor([[math.log(0.25), math.log(4.0)]])
    z = sample_latent(mean.expand(200_000, 2), logvar.expand(200_000, 2), torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(dim=0), mean[0], atol=0.02, rtol=0.0)
    torch.testing.assert_close(z.std(dim=0), torch.tensor([0.5, 2.0]), atol=0.0, rtol=0.01)


def test_extreme_embeddings_keep_the_variance_finite():
    bottleneck = VariationalBottleneck(FlowPolicyCfg(embed_dim=4, latent_dim=3, vib_hidden_dims=(8,)))
    mean, logvar = bottleneck.encode(torch.full((2, 4), 1e6))
    assert torch.isfinite(kl_to_standard_normal(mean, logvar))
    assert bottleneck.decode(mean).shape == (2, 4)
