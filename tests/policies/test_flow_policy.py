# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policy: what reaches what, forwards and backwards."""

from typing import Any

import pytest
import torch
from torch import nn

from zprl.policies import FlowPolicy, FlowPolicyCfg, VelocityField, load_policy, save_policy
from zprl.policies.flow import flow_matching
from zprl.policies.io import KIND, VERSION
from zprl.utils.configclass import class_to_dict
from zprl.utils.errors import ZprlError
from zprl.utils.registry import register
from zprl.utils.tensor_files import load_tensors, save_tensors

OBS_DIM, ACTION_DIM = 9, 3


class ConstantVelocityField(VelocityField):
    """A field with the required method alone, which the policy must be able to run."""

    def __init__(self, cfg, action_dim):
        super().__init__()
        self.value = nn.Parameter(torch.full((cfg.horizon, action_dim), 0.25))

    def forward(self, x, condition, t):
        return self.value.expand_as(x) + 0.0 * t.view(-1, 1, 1)


def make_policy(seed=0, **settings):
    """A small policy whose every weight is random, gates included, so that no path is switched off."""
    torch.manual_seed(seed)
    sizes = {"horizon": 5, "execute_steps": 2, "embed_dim": 6, "embed_hidden_dims": (12,), "latent_dim": 4}
    sizes |= {"vib_hidden_dims": (11, 10), "velocity_hidden_dim": 14, "velocity_num_blocks": 2, "time_embed_dim": 8}
    policy = FlowPolicy(FlowPolicyCfg(**(sizes | settings)), OBS_DIM, ACTION_DIM)
    for parameter in policy.parameters():
        nn.init.normal_(parameter, std=0.3)
    policy.set_normalizers(torch.randn(50, OBS_DIM) * 2.0 + 1.0, torch.randn(50, ACTION_DIM) * 0.5 - 0.2)
    return policy


def make_batch(n=32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, OBS_DIM, generator=generator), torch.randn(n, 5, ACTION_DIM, generator=generator)


def grads(policy: FlowPolicy, prefix: str) -> list[Any]:
    return [parameter.grad for name, parameter in policy.named_parameters() if name.startswith(prefix)]


def is_zero(gradients):
    return all(gradient is None or not gradient.any() for gradient in gradients)


def test_the_bottleneck_path_trains_the_bottleneck_alone():
    policy = make_policy()
    obs, chunk = make_batch()
    policy.loss(obs, chunk, torch.Generator().manual_seed(0))[0].backward()
    assert all(gradient is not None and gradient.any() for gradient in grads(policy, "bottleneck"))
    with_bottleneck = [*grads(policy, "embedding"), *grads(policy, "velocity_field")]

    # The plain loss by itself, with the same random numbers: the gradients of the base must be the same, bit for bit.
    policy.zero_grad()
    generator = torch.Generator().manual_seed(0)
    target_chunk = policy.action_normalizer(chunk)
    t = torch.rand(len(obs), generator=generator)
    noise = torch.randn(chunk.shape, generator=generator)
    x, target = flow_matching.interpolate(target_chunk, noise, t)
    nn.functional.mse_loss(policy.velocity_field(x, policy.embed(obs), t), target).backward()
    assert is_zero(grads(policy, "bottleneck"))
    plain = [*grads(policy, "embedding"), *grads(policy, "velocity_field")]
    assert len(plain) == len(with_bottleneck) > 0
    assert all(torch.equal(a, b) for a, b in zip(plain, with_bottleneck, strict=True))


@pytest.mark.parametrize("term", ["beta", "recon"])
def test_loss_is_the_sum_of_its_weighted_terms(term):
    policy, (obs, chunk) = make_policy(), make_batch()
    weights = {"vib_beta": 0.0, "vib_recon": 0.0} | {f"vib_{term}": 0.7}
    total, parts = policy.loss(obs, chunk, torch.Generator().manual_seed(0), **weights)
    name = "kl" if term == "beta" else "recon"
    torch.testing.assert_close(total, parts["flow"] + parts["flow_bottleneck"] + 0.7 * parts[name])
    assert parts["recon_error_rms"].item() == pytest.approx(parts["recon"].item() ** 0.5)
    assert not any(value.requires_grad for value in parts.values())


def test_a_fresh_velocity_field_is_zero():
    policy = FlowPolicy(FlowPolicyCfg(), OBS_DIM, ACTION_DIM)
    x = torch.randn(4, 8, ACTION_DIM)
    assert not policy.velocity_field(x, torch.randn(4, 64), torch.rand(4)).any()
    noise = policy.sample_noise(4) + 1.0
    torch.testing.assert_close(policy.integrate(torch.randn(4, 64), noise), noise)


def test_act_is_its_parts_in_order():
    policy, (obs, _) = make_policy(), make_batch(6)
    residual, noise = torch.randn(6, 4), torch.randn(6, 5, ACTION_DIM)
    mean, logvar = policy.encode(obs)
    assert logvar.shape == mean.shape == (6, 4)
    expected = policy.action_normalizer.inverse(policy.integrate(policy.decode(mean + residual), noise))
    torch.testing.assert_close(policy.act(obs, residual, noise), expected)
    expected = policy.action_normalizer.inverse(policy.integrate(policy.embed(obs), noise))
    torch.testing.assert_close(policy.generate(policy.embed(obs), noise), expected)
    torch.testing.assert_close(policy.act(obs, torch.zeros(6, 4), noise), policy.act(obs, None, noise))
    assert not torch.allclose(policy.act(obs, residual, noise), policy.act(obs, None, noise))


def test_hoisted_integration_is_the_field_called_at_each_time():
    policy, (obs, _) = make_policy(num_flow_steps=3, solver="rk4"), make_batch(4)
    condition, noise = policy.embed(obs), torch.randn(4, 5, ACTION_DIM)
    solver = flow_matching.SOLVERS["rk4"]
    times = flow_matching.evaluation_times(solver, 3)
    direct = flow_matching.integrate(
        lambda x, row: policy.velocity_field(x, condition, torch.full((4,), times[row])), noise, solver, 3
    )
    torch.testing.assert_close(policy.integrate(condition, noise), direct)


def test_actions_are_clamped_to_their_limits():
    policy, (obs, _) = make_policy(), make_batch()
    low, high = torch.tensor([-0.1, -torch.inf, -0.2]), torch.tensor([0.1, 0.05, torch.inf])
    free = policy.act(obs)
    policy.set_action_limits(low, high)
    limited = policy.act(obs)
    assert (limited >= low).all()
    assert (limited <= high).all()
    torch.testing.assert_close(limited, free.clamp(low, high))
    assert not torch.equal(limited, free)


@pytest.mark.parametrize(
    ("low", "high"), [([0.0] * 3, [0.0] * 3), ([0.0] * 2, [1.0] * 2), ([float("nan")] * 3, [1.0] * 3)]
)
def test_impossible_limits_are_refused(low, high):
    with pytest.raises(ValueError, match="limits"):
        make_policy().set_action_limits(torch.tensor(low), torch.tensor(high))


def test_initial_noise():
    assert not make_policy(initial_noise="zero").sample_noise(3).any()
    fixed = make_policy(initial_noise="fixed")
    assert torch.equal(fixed.sample_noise(3)[0], fixed.sample_noise(2)[1])
    assert fixed.sample_noise(1).any()
    sampled = make_policy(initial_noise="sampled")
    first, second = (sampled.sample_noise(2, torch.Generator().manual_seed(seed)) for seed in (0, 0))
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_a_field_with_forward_alone_runs():
    # By way of the module's registry entry: the name that the configuration would import.
    import sys

    sys.modules["zprl_test_fields"] = sys.modules[__name__]
    with pytest.raises(ZprlError, match="ConstantVelocityField', which is not registered"):
        make_policy(velocity_field_class="zprl_test_fields:ConstantVelocityField")
    register("velocity field", "zprl_test_fields:ConstantVelocityField")
    policy = make_policy(velocity_field_class="zprl_test_fields:ConstantVelocityField")
    assert isinstance(policy.velocity_field, ConstantVelocityField)
    nn.init.constant_(policy.velocity_field.value, 0.25)
    noise = torch.randn(2, 5, ACTION_DIM)
    torch.testing.assert_close(policy.integrate(torch.zeros(2, 6), noise), noise - 0.25)
    policy.loss(*make_batch())[0].backward()


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "magic"},
        {"initial_noise": "loud"},
        {"horizon": 0},
        {"execute_steps": 9},
        {"time_embed_dim": 7},
        {"embedding_class": "zprl.policies.flow.encoders:Nothing"},
        {"embedding_class": "nowhere"},
        {"velocity_field_class": "zprl.policies.flow.encoders:ObservationEmbedding"},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ZprlError):
        make_policy(**settings)


def test_double_precision_is_double_throughout():
    policy = make_policy().double()
    chunk = policy.act(torch.randn(2, OBS_DIM, dtype=torch.float64))
    assert chunk.dtype == torch.float64


def test_saved_policy_comes_back_whole(tmp_path):
    policy = make_policy(initial_noise="fixed", solver="heun")
    policy.set_action_limits(torch.full((ACTION_DIM,), -0.5), torch.full((ACTION_DIM,), torch.inf))
    save_policy(tmp_path / "base.safetensors", policy, {"task": "lift", "history": [1.0]})
    state = torch.get_rng_state()
    loaded, meta = load_policy(tmp_path / "base.safetensors")
    assert torch.equal(torch.get_rng_state(), state)
    assert meta == {"task": "lift", "history": [1.0]}
    assert class_to_dict(loaded.cfg) == class_to_dict(policy.cfg)
    shapes = [[value.shape for value in p.parameters()] for p in (loaded, policy)]
    assert shapes[0] == shapes[1]
    obs, _ = make_batch()
    assert torch.equal(loaded.act(obs), policy.act(obs))


def test_files_that_are_no_policy_are_refused(tmp_path):
    path = tmp_path / "base.safetensors"
    with pytest.raises(ZprlError, match="does not exist"):
        load_policy(path)
    save_tensors(path, {"weights": 1}, "zprl-checkpoint", 1)
    with pytest.raises(ZprlError, match="not a ZPRL base policy"):
        load_policy(path)
    save_tensors(path, {"weights": 1}, KIND, VERSION)
    with pytest.raises(ZprlError, match="damaged"):
        load_policy(path)
    save_policy(path, make_policy())
    content = load_tensors(path, KIND, "base policy", VERSION)
    save_tensors(path, content, KIND, 99)
    with pytest.raises(ZprlError, match="version 99"):
        load_policy(path)
    save_tensors(path, content | {"obs_dim": OBS_DIM + 1}, KIND, VERSION)
    with pytest.raises(ZprlError, match="damaged"):
        load_policy(path)
    save_tensors(path, content | {"cfg": content["cfg"] | {"new_setting": 1}}, KIND, VERSION)
    with pytest.raises(ZprlError, match="new_setting"):
        load_policy(path)
    save_policy(path, make_policy())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ZprlError, match="truncated"):
        load_policy(path)
