# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The ensemble of critics against networks of torch's own, one by one, in double precision."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from zprl.rl.critic import EnsembleCritic, EnsembleCriticCfg, EnsembleMLP


def alone(ensemble, member, layer_norm, activation):
    """Return a network of torch's own with the weights of a member."""
    layers = []
    for i, hidden in enumerate(ensemble.hidden):
        linear = nn.Linear(hidden.weight.shape[1], hidden.weight.shape[2]).double()
        linear.weight.data, linear.bias.data = hidden.weight[member].T.clone(), hidden.bias[member, 0].clone()
        layers.append(linear)
        if layer_norm:
            norm = nn.LayerNorm(linear.out_features).double()
            norm.weight.data = ensemble.scales[i][member, 0].clone()
            norm.bias.data = ensemble.shifts[i][member, 0].clone()
            layers.append(norm)
        layers.append(activation())
    last = nn.Linear(ensemble.output.weight.shape[1], 1).double()
    last.weight.data, last.bias.data = ensemble.output.weight[member].T.clone(), ensemble.output.bias[member, 0].clone()
    return nn.Sequential(*layers, last)


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(("layer_norm", "name", "activation"), [(False, "gelu", nn.GELU), (True, "tanh", nn.Tanh)])
def test_members_are_networks_of_their_own(layer_norm, name, activation, bounded):
    torch.manual_seed(0)
    cfg = EnsembleCriticCfg(num_members=4, hidden_dims=[16, 8], activation=name, layer_norm=layer_norm, bounded=bounded)
    ensemble = EnsembleMLP(5, cfg).double()
    for parameter in [*ensemble.scales, *ensemble.shifts]:
        parameter.data += 0.3 * torch.randn_like(parameter)
    x = torch.randn(7, 5, dtype=torch.float64)
    expected = torch.stack([alone(ensemble, i, layer_norm, activation)(x)[:, 0] for i in range(4)])
    if bounded:
        expected = 0.5 * (torch.tanh(expected) + 1.0)
        assert 0.0 < expected.min() < expected.max() < 1.0
    torch.testing.assert_close(ensemble(x), expected, rtol=1e-12, atol=1e-12)
    some = torch.tensor([3, 1])
    torch.testing.assert_close(ensemble(x, some), expected[some], rtol=1e-12, atol=1e-12)
    # The members start apart, or an ensemble would be of no use.
    assert (expected[0] - expected[1]).abs().min() > 1e-6


def test_a_members_gradient_is_its_own():
    ensemble = EnsembleMLP(2, EnsembleCriticCfg(num_members=3, hidden_dims=[8], activation="elu"))
    ensemble(torch.randn(5, 2))[1].sum().backward()
    for parameter in ensemble.parameters():
        assert parameter.grad is not None
        assert parameter.grad[1].abs().sum() > 0
        assert parameter.grad[0].abs().sum() == parameter.grad[2].abs().sum() == 0


def test_the_critic_normalises_the_state_but_not_the_action():
    obs = TensorDict({"policy": 3.0 + 2.0 * torch.randn(512, 2), "latent": torch.randn(512, 1)}, batch_size=[512])
    groups = {"critic": ["policy", "latent"]}
    critic = EnsembleCritic(obs, groups, "critic", 2, num_members=2, hidden_dims=[4], obs_normalization=True)
    critic.update_normalization(obs)
    action = torch.full((512, 2), 7.0)
    x = critic.inputs(obs, action)
    assert x.shape == (512, 5)
    torch.testing.assert_close(x[:, :3].mean(dim=0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(x[:, :3].std(dim=0), torch.ones(3), atol=0.02, rtol=0)
    assert torch.equal(x[:, 3:], action)
    assert torch.equal(critic(obs, action), critic.members(x))
