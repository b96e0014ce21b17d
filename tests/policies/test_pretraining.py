# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training from demonstrations."""

import pytest
import torch

from zprl.policies import FlowPolicyCfg, PretrainCfg, make_chunks, train_policy

SMALL = {"horizon": 3, "execute_steps": 2, "embed_dim": 16, "embed_hidden_dims": (32,), "latent_dim": 4}
SMALL |= {"vib_hidden_dims": (32,), "velocity_hidden_dim": 32, "velocity_num_blocks": 2, "time_embed_dim": 16}


def make_data(num_trajectories=8, length=40):
    """Trajectories of a smooth controller: the action is a function of the observation."""
    generator = torch.Generator().manual_seed(0)
    obs = [torch.randn(length, 4, generator=generator).cumsum(dim=0) * 0.1 for _ in range(num_trajectories)]
    return obs, [torch.stack([torch.sin(o[:, 0]), o[:, 1] - o[:, 2]], dim=1) for o in obs]


def train(seed=0, num_steps=20, **settings):
    obs, actions = make_data()
    pretrain_cfg = PretrainCfg(num_steps=num_steps, batch_size=32, warmup_steps=5, log_interval=10, seed=seed)
    return train_policy(obs, actions, FlowPolicyCfg(**SMALL), pretrain_cfg, **settings)


def test_chunks_start_everywhere_and_repeat_the_last_action():
    obs = [torch.arange(4.0).unsqueeze(1), torch.arange(10.0, 12.0).unsqueeze(1)]
    starts, chunks = make_chunks(obs, obs, horizon=3)
    assert starts.squeeze(1).tolist() == [0, 1, 2, 3, 10, 11]
    assert chunks.squeeze(2).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 3], [3, 3, 3], [10, 11, 11], [11, 11, 11]]


def test_training_repeats_for_a_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = train(seed=1)
    assert torch.equal(torch.rand(3), expected)
    second, other = train(seed=1), train(seed=2)
    for name, value in first.policy.state_dict().items():
        assert torch.equal(value, second.policy.state_dict()[name]), name
    assert first.history == second.history
    assert first.history != other.history


def test_training_learns_the_controller_through_both_paths():
    obs, actions = make_data()
    policy, history, statistics = train(num_steps=1500)
    obs, actions = torch.cat(obs), torch.cat(actions)
    scale = actions.var(dim=0).mean()
    for act in (policy.act_plain, policy.act):
        assert (act(obs)[:, 0] - actions).square().mean() < 0.1 * scale
    assert history[-1]["flow"] < 0.5 * history[0]["flow"]
    assert len(statistics["latent_mean_rms_per_dim"]) == SMALL["latent_dim"]
    mean, _ = policy.encode(obs)
    assert statistics["latent_mean_rms"] == pytest.approx(mean.square().mean().sqrt().item(), rel=1e-5)


def test_progress_is_reported_and_the_limits_are_kept():
    calls = []
    limits = (-torch.ones(2), torch.ones(2))
    result = train(num_steps=25, action_limits=limits, on_progress=lambda *call: calls.append(call))
    assert [(step, total) for step, total, _ in calls] == [(10, 25), (20, 25), (25, 25)]
    assert [entry["step"] for entry in result.history] == [10, 20, 25]
    assert {"flow", "flow_bottleneck", "kl", "recon", "latent_rms"} <= set(calls[0][2])
    assert torch.equal(result.policy.action_low, limits[0])
    assert not any(parameter.requires_grad for parameter in result.policy.parameters())


def test_unusable_data_is_refused():
    cfg, pretrain_cfg = FlowPolicyCfg(**SMALL), PretrainCfg(num_steps=1)
    with pytest.raises(ValueError, match="as many trajectories"):
        train_policy([], [], cfg, pretrain_cfg)
    with pytest.raises(ValueError, match="3 observations and 2 actions"):
        train_policy([torch.zeros(3, 2)], [torch.zeros(2, 2)], cfg, pretrain_cfg)
    with pytest.raises(ValueError, match="NaN"):
        train_policy([torch.full((3, 2), float("nan"))], [torch.zeros(3, 2)], cfg, pretrain_cfg)
