# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The critic learns alone at first, and a learner that continues knows for how long."""

import copy

import pytest
import torch
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from zprl.rl.ppo import PPO

GROUPS = {"actor": ["policy"], "critic": ["policy"]}
WORLDS, STEPS, DIMS = 4, 3, 2


def make(warmup):
    torch.manual_seed(0)
    obs = TensorDict({"policy": torch.randn(WORLDS, 5)}, batch_size=[WORLDS])
    gaussian = {"class_name": "GaussianDistribution", "init_std": 0.5, "std_type": "log"}
    actor = MLPModel(obs, GROUPS, "actor", DIMS, [8], distribution_cfg=gaussian)
    critic = MLPModel(obs, GROUPS, "critic", 1, [8])
    storage = RolloutStorage("rl", WORLDS, STEPS, obs, [DIMS], "cpu")
    ppo = PPO(actor, critic, storage, critic_warmup_iterations=warmup, num_mini_batches=2, schedule="fixed")
    ppo.compile()
    return ppo


def learn(ppo):
    """Take an iteration in worlds of random observations and rewards; return whether actor and critic changed."""
    with torch.inference_mode():
        for _ in range(STEPS):
            obs = TensorDict({"policy": torch.randn(WORLDS, 5)}, batch_size=[WORLDS])
            ppo.act(obs)
            ppo.process_env_step(obs, torch.rand(WORLDS), torch.zeros(WORLDS), {})
        ppo.compute_returns(obs)
    before = copy.deepcopy([ppo.actor.state_dict(), ppo.critic.state_dict()])
    ppo.update()
    after = [ppo.actor.state_dict(), ppo.critic.state_dict()]
    return [any(not torch.equal(old[name], new[name]) for name in old) for old, new in zip(before, after, strict=True)]


@pytest.mark.parametrize("warmup", [0, 2])
def test_the_actor_keeps_still_for_so_many_iterations(warmup):
    ppo = make(warmup)
    assert [learn(ppo) for _ in range(4)] == [[iteration >= warmup, True] for iteration in range(4)]
    assert all(parameter.requires_grad for parameter in ppo.actor.parameters())


def test_a_learner_that_continues_has_not_forgotten_the_warm_up():
    first, second = make(2), make(2)
    learn(first)
    second.load(first.save(), None, True)
    assert [learn(second) for _ in range(2)] == [[False, True], [True, True]]
