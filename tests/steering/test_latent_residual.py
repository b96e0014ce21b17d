# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Steering by a residual on the latent, and the actor that starts as the base policy."""

import pytest
import torch
from rsl_rl.models import MLPModel
from tests.fakes import base_of, make_policy

from zprl.policies import make_policy_step
from zprl.steering import LatentResidual, LatentResidualCfg
from zprl.utils.errors import ZprlError

SCALE = 0.6


@pytest.fixture
def policy():
    return make_policy(initial_noise="zero")


@pytest.fixture(params=["torch", "native"])
def step(request, policy):
    """Give a policy step with random weights, by both backends."""
    try:
        return make_policy_step(policy, request.param)
    except ZprlError as error:
        pytest.skip(str(error))


@pytest.fixture
def steering(step, policy):
    return LatentResidual(LatentResidualCfg(scale=SCALE), base_of(policy, step))


@pytest.fixture
def obs():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(1))


def plan(steering, obs, noise=None):
    return steering.policy.encode({"policy": obs}, noise)


def chunk(steering, obs, u=None, noise=None):
    return steering.act(plan(steering, obs, noise), u)


def test_no_output_and_zero_output_execute_the_base_policy(steering, step, obs):
    base = step.act(obs)
    assert torch.equal(chunk(steering, obs), base)
    assert torch.equal(chunk(steering, obs, torch.zeros(6, 4)), base)
    assert not torch.equal(chunk(steering, obs, torch.full((6, 4), 0.5)), base)


def test_base_policy_is_that_of_the_module(steering, policy, obs):
    """What is steered is the policy through its bottleneck, on the latent's mean."""
    mean, _ = policy.encode(obs)
    normalised = policy.integrate(policy.decode(mean), torch.zeros(6, 8, 3))
    expected = policy.action_normalizer.inverse(normalised).clamp(-1.0, 1.0)
    torch.testing.assert_close(chunk(steering, obs), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(steering.features(plan(steering, obs))["latent"], mean, atol=1e-5, rtol=1e-5)


def test_residual_is_the_output_times_lambda(steering, step, obs):
    assert steering.num_dims == 4
    assert steering.residual_scale == pytest.approx(0.9)
    u = torch.tensor([0.5, -1.0, 0.0, 0.25]).expand(6, 4)
    residual = torch.tensor([0.45, -0.9, 0.0, 0.225]).expand(6, 4)
    torch.testing.assert_close(chunk(steering, obs, u), step.act(obs, residual.contiguous()), atol=1e-6, rtol=1e-6)


def test_outputs_beyond_one_are_clipped(steering, obs):
    wild = torch.tensor([7.0, -3.0, 0.5, 1.0]).repeat(6, 1)
    tame = torch.tensor([1.0, -1.0, 0.5, 1.0]).repeat(6, 1)
    assert torch.equal(chunk(steering, obs, wild), chunk(steering, obs, tame))
    assert steering.metrics(wild) == steering.metrics(tame)


def test_given_noise_is_passed_on(steering, step, obs):
    noise = torch.randn(6, 8, 3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(chunk(steering, obs, None, noise), step.act(obs, None, noise))
    assert not torch.equal(chunk(steering, obs, None, noise), step.act(obs))


def test_metrics(steering):
    metrics = {name: value.item() for name, value in steering.metrics(torch.tensor([[0.6, -0.8], [0.0, 3.0]])).items()}
    # RMS(u) = sqrt((0.36 + 0.64 + 0 + 1) / 4)
    rms = 0.9 * 0.5**0.5
    assert metrics == pytest.approx(
        {
            "Steering/lambda": 0.9,
            "Steering/rms_residual": rms,
            "Steering/rms_latent": 1.5,
            "Steering/residual_ratio": rms / 1.5,
        }
    )


def test_the_first_actor_is_the_base_policy(steering, obs):
    """An actor with this project's distribution outputs zero for every observation, whatever its hidden layers are."""
    from zprl.rl.actor import model_arguments
    from zprl.rl.runner_cfg import ZprlRunnerCfg

    cfg = ZprlRunnerCfg()
    arguments = model_arguments(cfg.actor.to_dict())  # pyright: ignore[reportAttributeAccessIssue]
    arguments.pop("class_name")
    seen = steering.observe(plan(steering, obs), cfg.obs_groups["actor"])
    actor = MLPModel(seen, cfg.obs_groups, "actor", steering.num_dims, **arguments)
    with torch.no_grad():
        assert torch.equal(actor(seen), torch.zeros(6, 4))
        assert torch.equal(chunk(steering, obs, actor(seen)), chunk(steering, obs))
        # It does explore, with the configured standard deviation.
        actor(seen, stochastic_output=True)
    torch.testing.assert_close(actor.output_std, torch.full((6, 4), 0.5))
