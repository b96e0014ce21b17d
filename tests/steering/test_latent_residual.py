# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Steering by a residual on the latent, and the actor that starts as the base policy."""

import pytest
import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from zprl.policies import FlowPolicy, FlowPolicyCfg, make_policy_step
from zprl.steering import LatentResidual, LatentResidualCfg
from zprl.utils.errors import ZprlError

RMS = 1.5
SCALE = 0.6


@pytest.fixture(params=["torch", "native"])
def step(request):
    """Give a policy step with random weights, by both backends."""
    torch.manual_seed(0)
    cfg = FlowPolicyCfg(
        latent_dim=4, embed_hidden_dims=(32,), vib_hidden_dims=(32,), velocity_hidden_dim=32, initial_noise="zero"
    )
    policy = FlowPolicy(cfg, obs_dim=5, action_dim=3).eval()
    with torch.no_grad():
        for parameter in policy.parameters():  # some start at zero, and an untrained policy would ignore everything
            parameter.add_(0.1 * torch.randn_like(parameter))
    try:
        return make_policy_step(policy, request.param)
    except ZprlError as error:
        pytest.skip(str(error))


@pytest.fixture
def steering(step):
    return LatentResidual(LatentResidualCfg(scale=SCALE), step, RMS)


@pytest.fixture
def obs():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(1))


def test_no_output_and_zero_output_execute_the_base_policy(steering, step, obs):
    base = step.act(obs)
    assert torch.equal(steering.plan(obs), base)
    assert torch.equal(steering.plan(obs, torch.zeros(6, 4)), base)
    assert not torch.equal(steering.plan(obs, torch.full((6, 4), 0.5)), base)


def test_base_policy_is_that_of_the_module(steering, step, obs):
    """What is steered is the policy through its bottleneck, on the latent's mean."""
    mean, _ = step.policy.encode(obs)
    chunk = step.policy.integrate(step.policy.decode(mean), torch.zeros(6, 8, 3))
    torch.testing.assert_close(steering.plan(obs), step.policy.action_normalizer.inverse(chunk), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(steering.features(obs)["latent"], mean, atol=1e-5, rtol=1e-5)


def test_residual_is_the_output_times_lambda(steering, step, obs):
    assert steering.num_dims == 4
    assert steering.residual_scale == pytest.approx(0.9)
    u = torch.tensor([0.5, -1.0, 0.0, 0.25]).expand(6, 4)
    residual = torch.tensor([0.45, -0.9, 0.0, 0.225]).expand(6, 4)
    torch.testing.assert_close(steering.plan(obs, u), step.act(obs, residual.contiguous()), atol=1e-6, rtol=1e-6)


def test_outputs_beyond_one_are_clipped(steering, obs):
    wild = torch.tensor([7.0, -3.0, 0.5, 1.0]).repeat(6, 1)
    tame = torch.tensor([1.0, -1.0, 0.5, 1.0]).repeat(6, 1)
    assert torch.equal(steering.plan(obs, wild), steering.plan(obs, tame))
    assert steering.metrics(wild) == steering.metrics(tame)


def test_given_noise_is_passed_on(steering, step, obs):
    noise = torch.randn(6, 8, 3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(steering.plan(obs, None, noise), step.act(obs, None, noise))
    assert not torch.equal(steering.plan(obs, None, noise), step.act(obs))


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
    from zprl.rl.runner_cfg import ZprlRunnerCfg, model_arguments

    cfg = ZprlRunnerCfg()
    arguments = model_arguments(cfg.actor.to_dict())  # pyright: ignore[reportAttributeAccessIssue]
    arguments.pop("class_name")
    seen = TensorDict({"policy": obs, **steering.features(obs)}, batch_size=[6])
    actor = MLPModel(seen, cfg.obs_groups, "actor", steering.num_dims, **arguments)
    with torch.no_grad():
        assert torch.equal(actor(seen), torch.zeros(6, 4))
        assert torch.equal(steering.plan(obs, actor(seen)), steering.plan(obs))
        # It does explore, with the configured standard deviation.
        actor(seen, stochastic_output=True)
    torch.testing.assert_close(actor.output_std, torch.full((6, 4), 0.5))
