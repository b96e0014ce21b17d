# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The squashed Gaussian against torch's own transformed distribution."""

import math

import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from zprl.rl.distribution import SquashedGaussian


def test_likelihood_and_moments():
    torch.manual_seed(0)
    distribution = SquashedGaussian(3, log_std_range=(-4.0, 1.0))
    output = torch.randn(6, 6, dtype=torch.float64)
    distribution.update(output)
    mean, squashed = output[:, :3], output[:, 3:]
    std = torch.exp(-4.0 + 5.0 * (torch.tanh(squashed) + 1.0) / 2.0)
    truth = Independent(TransformedDistribution(Normal(mean, std), [TanhTransform(cache_size=1)]), 1)
    sample, log_prob = distribution.sample_with_log_prob(torch.randn(6, 3, dtype=torch.float64))
    torch.testing.assert_close(log_prob, truth.log_prob(sample), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(distribution.log_prob(sample), truth.log_prob(sample), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(distribution.std, std)
    torch.testing.assert_close(distribution.deterministic_output(output), torch.tanh(mean))
    torch.testing.assert_close(distribution.as_deterministic_output_module()(output), torch.tanh(mean))


def test_likelihood_is_finite_where_tanh_saturates():
    distribution = SquashedGaussian(1)
    distribution.update(torch.tensor([[30.0, 0.0]]))
    sample, log_prob = distribution.sample_with_log_prob(torch.randn(1, 1))
    assert sample.item() == 1.0
    # log(1 - tanh(x)^2) is log(4) - 2 x there.
    assert math.isfinite(log_prob.item())
    assert 50.0 < log_prob.item() < 70.0


def test_gradients_reach_mean_and_deviation():
    distribution = SquashedGaussian(2)
    output = torch.zeros(1, 4, requires_grad=True)
    distribution.update(output)
    sample, log_prob = distribution.sample_with_log_prob(torch.randn(1, 2))
    (sample.sum() + log_prob.sum()).backward()
    assert (output.grad != 0).all()


def test_the_first_actor_is_almost_the_base_policy():
    torch.manual_seed(0)
    obs = TensorDict({"policy": torch.randn(256, 30)}, batch_size=[256])
    cfg = {"class_name": "zprl.rl.distribution:SquashedGaussian", "log_std_range": (-10.0, 2.0)}
    actor = MLPModel(obs, {"actor": ["policy"]}, "actor", 16, hidden_dims=[64, 64], distribution_cfg=cfg)
    with torch.no_grad():
        assert actor(obs).abs().max() < 0.1
        sample = actor(obs, stochastic_output=True)
    torch.testing.assert_close(actor.output_std, torch.full((256, 16), math.exp(-4.0)), rtol=0.3, atol=0)
    assert sample.square().mean().sqrt() < 0.05
