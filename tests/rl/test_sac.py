# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The arithmetic of SAC against numbers computed by hand, and its state in a checkpoint."""

import copy
import math

import pytest
import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict
from torch import nn

from zprl.rl.critic import EnsembleCritic
from zprl.rl.replay import ReplayBuffer, Transitions
from zprl.rl.sac import SAC
from zprl.steering import CriticAction

WORLDS, DIMS, GAMMA = 4, 3, 0.9
GROUPS = {"actor": ["policy"], "critic": ["policy"]}
SETTINGS = {
    "learning_rate": 1e-3, "critic_learning_rate": 1e-3, "alpha_learning_rate": 1e-2, "batch_size": 8,
    "updates_per_step": 3, "actor_interval": 2, "subset_size": 2, "target_rate": 0.25, "init_alpha": 0.1,
    "entropy_per_dim": -0.5, "entropy_in_target": False, "warmup_transitions": 8, "warmup_std": 0.0,
    "max_grad_norm": 50.0,
}  # fmt: skip


def observe(seed=0):
    torch.manual_seed(seed)
    return TensorDict({"policy": torch.randn(WORLDS, 5)}, batch_size=[WORLDS])


def make(members=5, **settings):
    torch.manual_seed(0)
    obs = observe()
    distribution = {"class_name": "zprl.rl.distribution:SquashedGaussian"}
    actor = MLPModel(obs, GROUPS, "actor", DIMS, [16], obs_normalization=True, distribution_cfg=distribution)
    critic = EnsembleCritic(obs, GROUPS, "critic", DIMS, num_members=members, hidden_dims=[16])
    replay = ReplayBuffer(40, WORLDS, dict(obs), DIMS, "cpu")
    return SAC(actor, critic, replay, CriticAction(gain=2.0), num_steps=2, gamma=GAMMA, **SETTINGS | settings)


def collect(sac, steps, seed=1):
    """Let it act in worlds of random observations and rewards."""
    obs = observe(seed)
    with torch.inference_mode():
        for step in range(steps):
            sac.act(obs)
            obs = observe(seed + step + 1)
            rewards, dones = torch.rand(WORLDS), (torch.rand(WORLDS) < 0.2).long()
            sac.process_env_step(obs, rewards, dones, {"time_outs": torch.zeros(WORLDS, dtype=torch.bool)})


def constant(sac, values):
    """Let the target critics return one number each, whatever they see."""
    for parameter in sac.target_members.parameters():
        nn.init.zeros_(parameter)
    logits = torch.atanh(2.0 * torch.tensor(values) - 1.0)
    sac.target_members.output.bias.data.copy_(logits.view(-1, 1, 1))


BATCH = Transitions(
    {"policy": torch.zeros(3, 5)}, {"policy": torch.ones(3, 5)}, torch.zeros(3, DIMS),
    torch.tensor([0.0, 1.0, 0.25]), torch.tensor([GAMMA, 0.0, GAMMA]),
)  # fmt: skip
NOISE = torch.randn(3, DIMS, generator=torch.Generator().manual_seed(7))


def test_targets_take_the_minimum_of_the_subset():
    sac = make()
    constant(sac, [0.2, 0.8, 0.5, 0.4, 0.9])
    for members, minimum in (([1, 4], 0.8), ([2, 3], 0.4), ([0, 1], 0.2)):
        targets = sac.targets(BATCH, torch.tensor(members), NOISE)
        torch.testing.assert_close(targets, torch.tensor([0.9 * minimum, 1.0, 0.25 + 0.9 * minimum]))


def test_the_next_states_entropy_counts_if_asked_for():
    sac = make(entropy_in_target=True)
    constant(sac, [0.5] * 5)
    targets = sac.targets(BATCH, torch.tensor([0, 1]), NOISE)
    _, log_prob = sac._sample(BATCH.next_observations, NOISE)
    expected = torch.tensor([0.0, 1.0, 0.25]) + BATCH.discounts * (0.5 - 0.1 * log_prob.detach())
    torch.testing.assert_close(targets, expected)
    assert (targets - torch.tensor([0.45, 1.0, 0.7])).abs()[0] > 0.1  # it is far from nothing


def test_every_critic_learns_from_the_common_targets_as_it_would_alone():
    sac = make(members=3)
    constant(sac, [0.5] * 3)
    values = sac.critic(BATCH.observations, torch.zeros(3, DIMS))
    expected = (values - sac.targets(BATCH, torch.tensor([0]), NOISE)).square().mean().item()
    before = sac.critic.members.output.bias.detach().clone()
    metrics = sac.update_critic(BATCH, torch.tensor([0, 1]), NOISE)
    assert metrics["critic"].item() == pytest.approx(expected)
    # Adam's first step has the size of the learning rate, which a mean over members would leave as it is; what shows
    # the sum is that the gradients are three times as large.
    gradient = sac.critic.members.output.bias.grad
    assert gradient is not None
    q = values.detach()
    slope = 2.0 * (q - torch.tensor([0.45, 1.0, 0.7])) * 2.0 * q * (1.0 - q)  # d/dx of (tanh(x) + 1) / 2 is 2 q (1 - q)
    torch.testing.assert_close(gradient[:, 0, 0], slope.mean(dim=1), rtol=1e-4, atol=1e-6)
    assert (sac.critic.members.output.bias.detach() - before).abs().max() == pytest.approx(1e-3, rel=0.01)


def test_the_target_critics_follow():
    sac = make()
    target = {name: value.clone() for name, value in sac.target_members.state_dict().items()}
    sac.update_critic(BATCH, torch.tensor([0, 1]), NOISE)
    assert not torch.equal(sac.critic.members.output.bias, target["output.bias"])
    for name, value in sac.critic.members.state_dict().items():
        torch.testing.assert_close(sac.target_members.state_dict()[name], 0.75 * target[name] + 0.25 * value)


def test_the_actor_climbs_the_mean_of_all_critics_as_they_see_its_output():
    """Critics that prefer the first number of 2 u to be large: the actor's gradient is that of their mean."""
    sac = make(members=4, init_alpha=1e-12)
    outputs, log_prob = sac._sample(BATCH.observations, NOISE)
    value = sac.critic(BATCH.observations, 2.0 * outputs).mean()
    expected = torch.autograd.grad(-value, list(sac.actor.mlp.parameters()), allow_unused=True)
    metrics = sac.update_actor(BATCH, NOISE)
    for parameter, gradient in zip(sac.actor.mlp.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)
    assert metrics["actor"].item() == pytest.approx(-value.item(), rel=1e-5)
    assert metrics["entropy"].item() == pytest.approx(-log_prob.mean().item(), rel=1e-5)
    assert all(parameter.grad is None for parameter in sac.critic.parameters())
    assert all(parameter.requires_grad for parameter in sac.critic.parameters())


@pytest.mark.parametrize(("entropy", "sign"), [(-30.0, 1.0), (30.0, -1.0)])
def test_the_temperature_rises_where_the_entropy_is_below_its_target(entropy, sign):
    sac = make()
    assert sac.target_entropy == -0.5 * DIMS
    before = sac.log_alpha.item()
    sample = torch.zeros(3, DIMS), torch.full((3,), -entropy, requires_grad=True)
    sac.distribution.sample_with_log_prob = lambda noise: sample
    sac.update_actor(BATCH, NOISE)
    assert sac.log_alpha.item() - before == pytest.approx(sign * 0.01, rel=1e-3)


def test_the_warm_up_is_the_base_policy_and_learns_nothing():
    sac = make()
    collect(sac, 2)
    assert torch.equal(sac.replay.actions, torch.zeros(40, DIMS))
    sac = make(warmup_transitions=9)
    first_layer = next(sac.actor.mlp.parameters())
    weights = first_layer.detach().clone()
    collect(sac, 2)
    assert sac.update() == {}
    assert torch.equal(first_layer, weights)
    collect(sac, 2)
    assert (sac.replay.actions[8:12] == 0).all()  # eight of nine transitions are there: the base policy still acts
    assert (sac.replay.actions[12:16] != 0).all()
    assert set(sac.update()) == {"critic", "q", "target", "actor", "entropy", "alpha"}
    assert sac.num_updates == 6
    assert not torch.equal(first_layer, weights)


def test_the_warm_up_may_try_outputs_around_the_base_policy():
    sac = make(warmup_transitions=4000, warmup_std=0.8)
    torch.manual_seed(0)
    outputs = torch.stack([sac.act(observe(step)) for step in range(1000)])
    # A Gaussian of deviation 0.8 lies beyond 1 at either side in 10.6 % of all cases.
    for bound in (-1.0, 1.0):
        assert (outputs == bound).float().mean().item() == pytest.approx(0.1056, abs=0.01)
    inside = outputs[outputs.abs() < 1.0]
    assert inside.abs().max() > 0.99
    assert (inside.abs() < 0.4).float().mean().item() == pytest.approx(0.3829 / (1 - 2 * 0.1056), abs=0.02)


def test_a_time_out_is_followed_by_what_the_episode_ended_with():
    sac = make()
    obs, following, last = observe(1), observe(2), observe(3)
    sac.act(obs)
    dones, time_outs = torch.tensor([0, 1, 1, 0]), torch.tensor([False, False, True, False])
    extras = {"time_outs": time_outs, "final_observations": last, "executed": torch.full((WORLDS, DIMS), 0.5)}
    sac.process_env_step(following, torch.ones(WORLDS), dones, extras)
    torch.testing.assert_close(sac.replay.discounts[:WORLDS], torch.tensor([0.9, 0.0, 0.9, 0.9]))
    stored = sac.replay.next_observations["policy"][:WORLDS]
    expected = torch.stack([following["policy"][0], following["policy"][1], last["policy"][2], following["policy"][3]])
    assert torch.equal(stored, expected)
    assert torch.equal(sac.replay.actions[:WORLDS], extras["executed"])


def test_without_a_last_observation_the_one_before_stands_in():
    sac = make()
    obs, ends = observe(1), torch.ones(WORLDS)
    sac.act(obs)
    sac.process_env_step(observe(2), ends, ends, {"time_outs": ends.bool()})
    assert torch.equal(sac.replay.next_observations["policy"][:WORLDS], obs["policy"])
    torch.testing.assert_close(sac.replay.discounts[:WORLDS], torch.full((WORLDS,), 0.9))


def test_a_restored_learner_goes_on_to_the_same_numbers():
    sac, restored = make(), make(init_alpha=0.7)
    collect(sac, 6)
    sac.update()
    restored.load(copy.deepcopy(sac.save()), None, True)
    for learner in (sac, restored):
        collect(learner, 2, seed=50)
        torch.manual_seed(9)
        learner.update()
    for key, value in sac.save().items():
        flat, other = _flat(value), _flat(restored.save()[key])
        assert len(flat) == len(other)
        assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(flat, other, strict=True)), key
    assert sac.num_updates == 12
    assert math.isfinite(sac.log_alpha.item())


def _flat(value):
    if isinstance(value, dict):
        return [leaf for entry in value.values() for leaf in _flat(entry)]
    if isinstance(value, list | tuple):
        return [leaf for entry in value for leaf in _flat(entry)]
    return [] if value is None else [value]
