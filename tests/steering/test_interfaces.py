# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Every interface but the latent residual: u = 0 is the base policy, and any other u does what it says."""

import pytest
import torch

from zprl.policies import FlowPolicy, FlowPolicyCfg, TorchPolicyStep
from zprl.steering import (
    ActionResidual,
    ActionResidualCfg,
    DirectAction,
    DirectActionCfg,
    EmbeddingResidual,
    EmbeddingResidualCfg,
    InitialNoise,
    InitialNoiseCfg,
    LatentResidual,
    LatentResidualCfg,
    StepResidual,
    StepResidualCfg,
    make_steering,
)

META = {"latent_statistics": {"latent_mean_rms": 1.5, "embedding_rms": 0.5}}
OBS = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
HORIZON, EXECUTED, ACTIONS = 8, 4, 3


def make_step(initial_noise="zero"):
    torch.manual_seed(0)
    cfg = FlowPolicyCfg(
        latent_dim=4,
        embed_dim=16,
        embed_hidden_dims=(32,),
        vib_hidden_dims=(32,),
        velocity_hidden_dim=32,
        initial_noise=initial_noise,
    )
    policy = FlowPolicy(cfg, obs_dim=5, action_dim=ACTIONS).eval().requires_grad_(False)
    for parameter in policy.parameters():  # some start at zero, and an untrained policy would ignore everything
        parameter.add_(0.1 * torch.randn_like(parameter))
    policy.set_action_limits(torch.full((ACTIONS,), -1.0), torch.full((ACTIONS,), 1.0))
    return TorchPolicyStep(policy)


INTERFACES = {
    "action": ActionResidualCfg(scale=0.2),
    "noise": InitialNoiseCfg(repeat=False),
    "repeated noise": InitialNoiseCfg(),
    "embedding": EmbeddingResidualCfg(),
    "latent": LatentResidualCfg(),
}


@pytest.mark.parametrize("noise", ["zero", "fixed"])
@pytest.mark.parametrize("cfg", INTERFACES.values(), ids=INTERFACES)
def test_zero_is_the_base_policy_and_outputs_are_clipped(cfg, noise):
    step = make_step(noise)
    steering = make_steering(cfg, step, META)
    base = step.policy.act_plain(OBS) if isinstance(steering, EmbeddingResidual) else step.act(OBS)
    assert torch.equal(steering.plan(OBS), base)
    assert torch.equal(steering.plan(OBS, torch.zeros(6, steering.num_dims)), base)
    one = torch.ones(6, steering.num_dims)
    assert not torch.equal(steering.plan(OBS, one), base)
    assert torch.equal(steering.plan(OBS, 9.0 * one), steering.plan(OBS, one))
    assert steering.metrics(9.0 * one) == steering.metrics(one)


@pytest.mark.parametrize("cfg", INTERFACES.values(), ids=INTERFACES)
def test_a_critic_is_told_numbers_of_order_one_and_passes_gradients_on(cfg):
    steering = make_steering(cfg, make_step(), META)
    u = torch.full((6, steering.num_dims), 0.3, requires_grad=True)
    told = steering.critic_action({"policy": OBS, **steering.features(OBS)}, u)
    assert told.shape[0] == 6
    assert 0.05 < told.detach().square().mean().sqrt() < 5.0
    told.sum().backward()
    assert u.grad is not None
    assert (u.grad > 0).all()
    assert set(steering.critic_features) <= set(steering.features(OBS))


def test_an_action_residual_is_added_to_the_executed_actions_within_the_limits():
    step = make_step()
    steering = ActionResidual(ActionResidualCfg(scale=0.2), step)
    assert steering.num_dims == EXECUTED * ACTIONS
    u = torch.rand(6, steering.num_dims, generator=torch.Generator().manual_seed(2)) * 2 - 1
    base = step.act(OBS)
    expected = base.clone()
    expected[:, :EXECUTED] += 0.2 * u.view(6, EXECUTED, ACTIONS)
    assert expected.abs().max() > 1.0, "some residual should reach over the limit"
    torch.testing.assert_close(steering.plan(OBS, u), expected.clamp(-1.0, 1.0))
    seen = steering.features(OBS)
    torch.testing.assert_close(seen["chunk"], base[:, :EXECUTED].flatten(1))
    torch.testing.assert_close(steering.critic_action(seen, u), expected[:, :EXECUTED].flatten(1))


def test_an_action_residual_steers_the_chunk_that_the_learner_saw():
    """Also where the base policy draws its initial noise anew for every chunk."""
    steering = ActionResidual(ActionResidualCfg(), make_step("sampled"))
    seen = steering.features(OBS)["chunk"]
    zero = torch.zeros(6, steering.num_dims)
    assert torch.equal(steering.plan(OBS, zero)[:, :EXECUTED].flatten(1), seen)
    assert not torch.equal(steering.features(OBS.clone())["chunk"], seen)
    noise = torch.zeros(6, HORIZON, ACTIONS)
    assert torch.equal(steering.plan(OBS, zero, noise), make_step().act(OBS))


@pytest.mark.parametrize(("steps", "share"), [(0, 0.0), (250, 0.25), (900, 0.9), (1000, 1.0), (5000, 1.0)])
def test_residuals_are_introduced_step_by_step(steps, share):
    steering = ActionResidual(ActionResidualCfg(progressive_steps=1000), make_step())
    torch.manual_seed(0)
    explored = steering.explored(torch.ones(4000, steering.num_dims), steps)
    assert ((explored == 0) | (explored == 1)).all()
    assert torch.equal(explored.amin(dim=1), explored.amax(dim=1)), "a chunk has its residual whole or not at all"
    assert explored[:, 0].mean().item() == pytest.approx(share, abs=0.03 if 0 < share < 1 else 0.0)


def test_without_a_schedule_nothing_is_drawn():
    steering = ActionResidual(ActionResidualCfg(progressive_steps=0), make_step())
    state = torch.get_rng_state()
    u = torch.ones(6, steering.num_dims)
    assert steering.explored(u, 0) is u
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("repeat", "dims"), [(False, HORIZON * ACTIONS), (True, ACTIONS)])
def test_the_flow_starts_where_the_output_says(repeat, dims):
    step = make_step()
    steering = InitialNoise(InitialNoiseCfg(scale=1.5, repeat=repeat), step)
    assert steering.num_dims == dims
    u = torch.rand(6, dims, generator=torch.Generator().manual_seed(2)) * 2 - 1
    start = 1.5 * (u[:, None].expand(6, HORIZON, ACTIONS) if repeat else u.view(6, HORIZON, ACTIONS))
    torch.testing.assert_close(steering.plan(OBS, u), step.act(OBS, None, start))
    # An evaluation that draws noise steers with u nevertheless.
    assert torch.equal(steering.plan(OBS, u, torch.ones(6, HORIZON, ACTIONS)), steering.plan(OBS, u))
    assert torch.equal(steering.plan(OBS, None, start), step.act(OBS, None, start))


def test_the_flow_starts_around_the_base_policys_own_start():
    step = make_step("fixed")
    start = InitialNoise(InitialNoiseCfg(scale=1.5, repeat=False), step).start(torch.full((2, HORIZON * ACTIONS), 0.5))
    torch.testing.assert_close(start, step.policy.fixed_noise + torch.full((2, HORIZON, ACTIONS), 0.75))
    sampled = InitialNoise(InitialNoiseCfg(scale=1.5, repeat=False), make_step("sampled"))
    torch.testing.assert_close(sampled.start(torch.zeros(2, HORIZON * ACTIONS)), torch.zeros(2, HORIZON, ACTIONS))


def test_an_embedding_residual_moves_the_condition_of_the_flow():
    step = make_step()
    steering = EmbeddingResidual.make(EmbeddingResidualCfg(scale=0.2), step, META)
    assert isinstance(steering, EmbeddingResidual)
    assert (steering.num_dims, steering.residual_scale) == (16, pytest.approx(0.1))
    u = torch.rand(6, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    embedding = step.policy.embed(OBS)
    torch.testing.assert_close(steering.features(OBS)["embedding"], embedding)
    chunk = step.policy.integrate(embedding + 0.1 * u, torch.zeros(6, HORIZON, ACTIONS)).clamp(-1.0, 1.0)
    torch.testing.assert_close(steering.plan(OBS, u), chunk)
    told = steering.critic_action({"embedding": embedding}, u)
    torch.testing.assert_close(told, (embedding + 0.1 * u) / 0.5)


def test_a_latent_residual_tells_the_critic_the_perturbed_latent():
    steering = LatentResidual.make(LatentResidualCfg(scale=0.8), make_step(), META)
    assert isinstance(steering, LatentResidual)
    latent = steering.features(OBS)["latent"]
    u = torch.full((6, 4), 2.0)
    torch.testing.assert_close(steering.critic_action({"latent": latent}, u), latent / 1.5 + 0.8)


def test_a_step_residual_follows_the_base_policys_chunks():
    """The base plans when its four actions are used up, or anew when an episode begins."""
    step = make_step()
    steering = StepResidual(StepResidualCfg(scale=0.2), step)
    seen = [torch.randn(2, 5, generator=torch.Generator().manual_seed(i)) for i in range(7)]
    plans = [step.act(obs) for obs in seen]
    steering.begin_episodes()
    # The second world's episode ends after the third step, and its next plan comes with the fourth observation.
    expected = [
        [plans[0][0, 0], plans[0][1, 0]],
        [plans[0][0, 1], plans[0][1, 1]],
        [plans[0][0, 2], plans[0][1, 2]],
        [plans[0][0, 3], plans[3][1, 0]],
        [plans[4][0, 0], plans[3][1, 1]],
        [plans[4][0, 1], plans[3][1, 2]],
        [plans[4][0, 2], plans[3][1, 3]],
    ]
    u = torch.tensor([[0.5, -1.0, 0.0], [9.0, 0.0, 0.25]])
    residual = 0.2 * torch.tensor([[0.5, -1.0, 0.0], [1.0, 0.0, 0.25]])
    for t, obs in enumerate(seen):
        base = torch.stack(expected[t])
        torch.testing.assert_close(steering.features(obs)["base_action"], base)
        torch.testing.assert_close(steering.features(obs)["base_action"], base)  # asking twice is no step in time
        assert torch.equal(steering.plan(obs, torch.zeros(2, ACTIONS))[:, 0], steering.features(obs)["base_action"])
        torch.testing.assert_close(steering.plan(obs, u), (base + residual).clamp(-1.0, 1.0)[:, None])
        if t == 2:
            steering.begin_episodes(torch.tensor([False, True]))
    assert torch.equal(steering.plan(seen[0]), plans[0]), "the base policy alone plans whole chunks"


def test_an_evaluation_of_fewer_worlds_starts_a_step_residual_anew():
    step = make_step()
    steering = StepResidual(StepResidualCfg(), step)
    steering.features(OBS)
    steering.begin_episodes()
    assert torch.equal(steering.features(OBS[:2])["base_action"], step.act(OBS[:2])[:, 0])


def test_from_scratch_the_output_is_the_action():
    steering = DirectAction(DirectActionCfg(), make_step())
    u = torch.tensor([[0.5, -3.0, 0.0]])
    assert torch.equal(steering.plan(OBS[:1], u), torch.tensor([[[0.5, -1.0, 0.0]]]))
    assert torch.equal(steering.plan(OBS), make_step().act(OBS))
