# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Every interface but the latent residual: u = 0 is the base policy, and any other u does what it says."""

import pytest
import torch
from tests.fakes import CountingPolicy, make_base

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
    base_chunks,
    make_steering,
    plain_chunks,
    steered_chunks,
)
from zprl.utils.errors import ZprlError

OBS = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
HORIZON, EXECUTED, ACTIONS = 8, 4, 3


def make(initial_noise="zero"):
    """Return a base policy of random weights."""
    return make_base(initial_noise=initial_noise, embed_dim=16)


def plan(steering, obs=OBS, noise=None):
    return steering.policy.encode({"policy": obs}, noise)


def chunk(steering, u=None, obs=OBS, noise=None):
    """Return the chunk of a fresh plan."""
    return steering.act(plan(steering, obs, noise), u)


def features(steering, obs=OBS):
    return steering.features(plan(steering, obs))


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
    base = make(noise)
    steering = make_steering(cfg, base)
    expected = base.policy.act(OBS)
    if isinstance(steering, EmbeddingResidual):
        expected = base.policy.generate(base.policy.embed(OBS))
    assert torch.equal(chunk(steering), expected)
    assert torch.equal(chunk(steering, torch.zeros(6, steering.num_dims)), expected)
    one = torch.ones(6, steering.num_dims)
    assert not torch.equal(chunk(steering, one), expected)
    assert torch.equal(chunk(steering, 9.0 * one), chunk(steering, one))
    assert steering.metrics(9.0 * one) == steering.metrics(one)


@pytest.mark.parametrize("cfg", INTERFACES.values(), ids=INTERFACES)
def test_a_critic_is_told_numbers_of_order_one_and_passes_gradients_on(cfg):
    steering = make_steering(cfg, make())
    u = torch.full((6, steering.num_dims), 0.3, requires_grad=True)
    told = steering.critic_action(steering.observe(plan(steering), ["policy"]), u)
    assert told.shape[0] == 6
    assert 0.05 < told.detach().square().mean().sqrt() < 5.0
    told.sum().backward()
    assert u.grad is not None
    assert (u.grad > 0).all()
    assert steering.critic_action.feature in (None, *features(steering))


@pytest.mark.parametrize("cfg", INTERFACES.values(), ids=INTERFACES)
def test_a_base_policy_that_cannot_be_steered_so_is_refused(cfg):
    base = CountingPolicy()
    if isinstance(cfg, ActionResidualCfg):
        assert make_steering(cfg, base).num_dims == 3 * 2
        return
    with pytest.raises(ZprlError, match=r"steers a base policy by its (latent|embedding|noise), .* by actions\.$"):
        make_steering(cfg, base)


def test_the_learner_sees_the_groups_it_asks_for_and_all_features():
    steering = LatentResidual(LatentResidualCfg(), make())
    seen = steering.observe(plan(steering), ["policy", "latent"])
    assert set(seen.keys()) == {"policy", "latent"}
    assert torch.equal(seen["policy"], OBS)
    assert set(steering.observe(plan(steering), []).keys()) == {"latent"}


def test_an_action_residual_is_added_to_the_executed_actions_within_the_limits():
    base = make()
    steering = ActionResidual(ActionResidualCfg(scale=0.2), base)
    assert steering.num_dims == EXECUTED * ACTIONS
    u = torch.rand(6, steering.num_dims, generator=torch.Generator().manual_seed(2)) * 2 - 1
    alone = base.policy.act(OBS)
    expected = alone.clone()
    expected[:, :EXECUTED] += 0.2 * u.view(6, EXECUTED, ACTIONS)
    assert expected.abs().max() > 1.0, "some residual should reach over the limit"
    torch.testing.assert_close(chunk(steering, u), expected.clamp(-1.0, 1.0))
    seen = features(steering)
    torch.testing.assert_close(seen["chunk"], alone[:, :EXECUTED].flatten(1))
    torch.testing.assert_close(steering.critic_action(seen, u), expected[:, :EXECUTED].flatten(1))


def test_an_action_residual_steers_the_chunk_that_the_learner_saw():
    """Also where the base policy draws its initial noise anew for every chunk."""
    steering = ActionResidual(ActionResidualCfg(), make("sampled"))
    planned = plan(steering)
    seen = steering.features(planned)["chunk"]
    zero = torch.zeros(6, steering.num_dims)
    assert torch.equal(steering.act(planned, zero)[:, :EXECUTED].flatten(1), seen)
    assert not torch.equal(features(steering)["chunk"], seen)
    noise = torch.zeros(6, HORIZON, ACTIONS)
    assert torch.equal(chunk(steering, zero, noise=noise), make().policy.act(OBS))


@pytest.mark.parametrize(("steps", "share"), [(0, 0.0), (250, 0.25), (900, 0.9), (1000, 1.0), (5000, 1.0)])
def test_residuals_are_introduced_step_by_step(steps, share):
    steering = ActionResidual(ActionResidualCfg(progressive_steps=1000), make())
    torch.manual_seed(0)
    explored = steering.explored(torch.ones(4000, steering.num_dims), steps)
    assert ((explored == 0) | (explored == 1)).all()
    assert torch.equal(explored.amin(dim=1), explored.amax(dim=1)), "a chunk has its residual whole or not at all"
    assert explored[:, 0].mean().item() == pytest.approx(share, abs=0.03 if 0 < share < 1 else 0.0)


def test_without_a_schedule_nothing_is_drawn():
    steering = ActionResidual(ActionResidualCfg(progressive_steps=0), make())
    state = torch.get_rng_state()
    u = torch.ones(6, steering.num_dims)
    assert steering.explored(u, 0) is u
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("repeat", "dims"), [(False, HORIZON * ACTIONS), (True, ACTIONS)])
def test_the_flow_starts_where_the_output_says(repeat, dims):
    base = make()
    steering = InitialNoise(InitialNoiseCfg(scale=1.5, repeat=repeat), base)
    assert steering.num_dims == dims
    u = torch.rand(6, dims, generator=torch.Generator().manual_seed(2)) * 2 - 1
    start = 1.5 * (u[:, None].expand(6, HORIZON, ACTIONS) if repeat else u.view(6, HORIZON, ACTIONS))
    torch.testing.assert_close(chunk(steering, u), base.policy.act(OBS, None, start))
    assert torch.equal(chunk(steering, noise=start), base.policy.act(OBS, None, start))
    # An evaluation draws noise where the base policy samples it, and steers with u nevertheless.
    sampled = InitialNoise(InitialNoiseCfg(scale=1.5, repeat=repeat), make("sampled"))
    assert torch.equal(chunk(sampled, u, noise=torch.ones(6, HORIZON, ACTIONS)), chunk(steering, u))


def test_the_flow_starts_around_the_base_policys_own_start():
    def start(base, u):
        steering = InitialNoise(InitialNoiseCfg(scale=1.5, repeat=False), base)
        return steering.apply(plan(steering, OBS[:2]), u)["noise"]

    base = make("fixed")
    half = torch.full((2, HORIZON * ACTIONS), 0.5)
    torch.testing.assert_close(start(base, half), base.policy.fixed_noise + torch.full((2, HORIZON, ACTIONS), 0.75))
    zero = torch.zeros(2, HORIZON * ACTIONS)
    torch.testing.assert_close(start(make("sampled"), zero), torch.zeros(2, HORIZON, ACTIONS))


def test_an_embedding_residual_moves_the_condition_of_the_flow():
    base = make()
    steering = EmbeddingResidual(EmbeddingResidualCfg(scale=0.2), base)
    assert (steering.num_dims, steering.residual_scale) == (16, pytest.approx(0.1))
    u = torch.rand(6, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    embedding = base.policy.embed(OBS)
    torch.testing.assert_close(features(steering)["embedding"], embedding)
    expected = base.policy.integrate(embedding + 0.1 * u, torch.zeros(6, HORIZON, ACTIONS)).clamp(-1.0, 1.0)
    torch.testing.assert_close(chunk(steering, u), expected)
    told = steering.critic_action({"embedding": embedding}, u)
    torch.testing.assert_close(told, (embedding + 0.1 * u) / 0.5)


def test_a_latent_residual_tells_the_critic_the_perturbed_latent():
    steering = LatentResidual(LatentResidualCfg(scale=0.8), make())
    latent = features(steering)["latent"]
    u = torch.full((6, 4), 2.0)
    torch.testing.assert_close(steering.critic_action({"latent": latent}, u), latent / 1.5 + 0.8)


def test_a_step_residual_follows_the_base_policys_chunks():
    """The base plans when its four actions are used up, or anew when an episode begins."""
    base = make()
    steering = StepResidual(StepResidualCfg(scale=0.2), base)
    seen = [torch.randn(2, 5, generator=torch.Generator().manual_seed(i)) for i in range(7)]
    plans = [base.policy.act(obs) for obs in seen]
    steering.policy.begin_episodes()
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
        due = torch.stack(expected[t])
        planned = plan(steering, obs)  # a step in time; to ask a plan twice is none
        torch.testing.assert_close(steering.features(planned)["base_action"], due)
        torch.testing.assert_close(steering.features(planned)["base_action"], due)
        zero = steering.act(planned, torch.zeros(2, ACTIONS))
        assert torch.equal(zero[:, 0], steering.features(planned)["base_action"])
        torch.testing.assert_close(steering.act(planned, u), (due + residual).clamp(-1.0, 1.0)[:, None])
        if t == 2:
            steering.policy.begin_episodes(torch.tensor([False, True]))
    alone = torch.cat([base.policy.act(row[None]) for row in seen[0]])
    assert torch.equal(base_chunks(steering)({"policy": seen[0]}), alone), "the base policy alone plans whole chunks"


def test_an_evaluation_of_fewer_worlds_starts_a_step_residual_anew():
    base = make()
    steering = StepResidual(StepResidualCfg(), base)
    plan(steering)
    steering.policy.begin_episodes()
    assert torch.equal(features(steering, OBS[:2])["base_action"], base.policy.act(OBS[:2])[:, 0])


def test_from_scratch_the_output_is_the_action():
    steering = DirectAction(DirectActionCfg(), make())
    u = torch.tensor([[0.5, -3.0, 0.0]])
    assert torch.equal(chunk(steering, u, OBS[:1]), torch.tensor([[[0.5, -1.0, 0.0]]]))
    assert torch.equal(chunk(steering), make().policy.act(OBS))


@pytest.mark.parametrize("cfg", INTERFACES.values(), ids=INTERFACES)
def test_what_an_evaluation_runs_does_not_depend_on_the_rows_beside_it(cfg):
    """Torch's matrix products do; each row of a chunk is that of the observation alone, to the last bit."""
    steering = make_steering(cfg, make())

    def actor(seen):
        return 0.1 * seen["policy"].sum(dim=1, keepdim=True).expand(-1, steering.num_dims)

    for planner in (base_chunks(steering), plain_chunks(steering.base), steered_chunks(steering, actor, ["policy"])):
        assert planner.execute_steps == EXECUTED
        whole = planner({"policy": OBS})
        assert whole.shape == (6, HORIZON, ACTIONS)
        for i in range(6):
            assert torch.equal(planner({"policy": OBS[i : i + 1]})[0], whole[i])
    steered = steered_chunks(steering, actor, ["policy"])({"policy": OBS})
    u = 0.1 * OBS.sum(dim=1, keepdim=True).expand(-1, steering.num_dims)
    torch.testing.assert_close(steered, chunk(steering, u), rtol=1e-4, atol=1e-5)
    assert not torch.equal(steered, base_chunks(steering)({"policy": OBS}))
