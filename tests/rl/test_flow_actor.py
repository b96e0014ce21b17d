# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The flow policy as an actor: it starts as the base policy, and its likelihood is that of its chain."""

import copy

import pytest
import torch
from tensordict import TensorDict
from tests import fakes
from tests.fakes import base_of
from torch.distributions import Normal, kl_divergence

from zprl.rl.flow_actor import FlowActor
from zprl.steering import FlowChain, FlowChainCfg
from zprl.utils.errors import ZprlError

GROUPS = {"actor": ["policy"], "critic": ["policy"]}
STEPS, HORIZON, ACTIONS = 4, 8, 3


def make_policy(**settings):
    policy = fakes.make_policy(obs_dim=5, action_dim=ACTIONS, num_flow_steps=STEPS, **settings)
    policy.action_normalizer.mean.fill_(0.3)
    policy.action_normalizer.std.fill_(4.0)
    return policy.requires_grad_(True).double()


def make_actor(policy, **settings):
    actor = FlowActor(observe(1), GROUPS, "actor", STEPS * HORIZON * ACTIONS, policy, **settings).double()
    if actor.std_network is not None:
        torch.nn.init.normal_([*actor.std_network.parameters()][-2])
    return actor


def observe(count):
    obs = torch.randn(count, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return TensorDict({"policy": obs}, batch_size=[count])


@pytest.mark.parametrize("noise", ["zero", "fixed"])
def test_without_noise_it_is_the_base_policy(noise):
    policy, obs = make_policy(initial_noise=noise), observe(6)
    chain = make_actor(policy)(obs)
    steering = FlowChain(FlowChainCfg(), base_of(policy))
    plan = steering.policy.encode(dict(obs))
    assert chain.shape == (6, steering.num_dims) == (6, 96)
    base = policy.act(obs["policy"])
    assert base.min() == -1.0 or base.max() == 1.0, "some action should be at its limit"
    torch.testing.assert_close(steering.act(plan, chain), base, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(steering.act(plan), base, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("mean", "divisor"), [(False, 1), (True, STEPS * HORIZON * ACTIONS)])
def test_the_likelihood_of_a_chain_is_the_product_of_its_steps_or_their_mean(mean, divisor):
    policy, obs = make_policy(), observe(6)
    actor = make_actor(policy, mean_log_prob=mean)
    chain = actor(obs, stochastic_output=True)
    std = actor.output_std.view(6, STEPS, HORIZON, ACTIONS)
    assert std.min() > 0.08
    assert std.max() < 0.25
    assert std[:, 0].std() > 1e-3, "the deviation should depend on the observation"
    condition = policy.decode(policy.encode(obs["policy"])[0])
    x, expected, entropy = torch.zeros(6, HORIZON, ACTIONS, dtype=torch.float64), 0.0, 0.0
    for k, state in enumerate(chain.view(6, STEPS, HORIZON, ACTIONS).unbind(1)):
        time = torch.full((6,), 1.0 - k / STEPS, dtype=torch.float64)
        step = Normal(x - policy.velocity_field(x, condition, time) / STEPS, std[:, k])
        expected, entropy = expected + step.log_prob(state).sum((1, 2)), entropy + step.entropy().sum((1, 2))
        x = state
    torch.testing.assert_close(actor.get_output_log_prob(chain), expected / divisor, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(actor.output_entropy, entropy, rtol=1e-9, atol=1e-9)


def test_samples_have_the_deviation_that_the_likelihood_says():
    actor, obs = make_actor(make_policy(), learn_std=False), observe(1).expand(4000)
    torch.manual_seed(2)
    chain = actor(obs, stochastic_output=True)
    first = chain[:, : HORIZON * ACTIONS]
    torch.testing.assert_close(actor.output_std, torch.full_like(chain, (0.08 * 0.25) ** 0.5))
    torch.testing.assert_close(first.std(dim=0), torch.full_like(first[0], 0.141421), rtol=0.06, atol=0)
    torch.testing.assert_close(first.mean(dim=0), actor(obs[:1])[0, : HORIZON * ACTIONS], rtol=0, atol=0.01)


def test_divergence_is_measured_along_the_same_chain():
    """As PPO does it: parameters at the time of acting, and those of a changed policy for the chain that was acted."""
    actor, obs = make_actor(make_policy()), observe(3)
    chain = actor(obs, stochastic_output=True)
    old = actor.output_distribution_params
    actor(obs, stochastic_output=True)
    actor.get_output_log_prob(chain)
    same = actor.output_distribution_params
    torch.testing.assert_close(actor.get_kl_divergence(old, same), torch.zeros(3).double(), rtol=0, atol=1e-9)
    with torch.no_grad():
        [*actor.policy.velocity_field.parameters()][-1].add_(0.1)
    actor(obs, stochastic_output=True)
    actor.get_output_log_prob(chain)
    new = actor.output_distribution_params
    expected = kl_divergence(Normal(old[0], old[1]), Normal(new[0], new[1])).sum(dim=1)
    torch.testing.assert_close(actor.get_kl_divergence(old, new), expected)
    assert expected.min() > 0.1


def test_the_likelihood_trains_every_part_and_leaves_the_base_policy_alone():
    policy, obs = make_policy(), observe(3)
    policy.requires_grad_(False)
    before = copy.deepcopy(policy.state_dict())
    actor = make_actor(policy)
    chain = actor(obs, stochastic_output=True)
    optimizer = torch.optim.Adam(actor.parameters(), lr=1e-5)
    actor(obs, stochastic_output=True)
    first = actor.get_output_log_prob(chain)
    (-first.mean()).backward()
    assert actor.std_network is not None
    parts = (actor.policy.embedding, actor.policy.bottleneck, actor.policy.velocity_field, actor.std_network)
    assert all(any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()) for part in parts)
    optimizer.step()
    actor(obs, stochastic_output=True)
    assert actor.get_output_log_prob(chain).mean() > first.mean()
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "words"), [({"solver": "heun"}, "Euler steps"), ({"initial_noise": "sampled"}, "zero or fixed")]
)
def test_a_flow_that_cannot_be_fine_tuned_is_refused(settings, words):
    with pytest.raises(ZprlError, match=words):
        FlowChain(FlowChainCfg(), base_of(make_policy(**settings)))


def test_another_base_policy_is_refused():
    with pytest.raises(ZprlError, match="needs a flow policy of this project, not a CountingPolicy"):
        FlowChain(FlowChainCfg(), fakes.CountingPolicy())
