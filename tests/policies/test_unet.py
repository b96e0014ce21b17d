# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The U-Net against the reference network, written here a second time in double precision."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from zprl.policies import FlowPolicy, FlowPolicyCfg, PretrainCfg, load_policy, save_policy, train_policy
from zprl.policies.flow import flow_matching
from zprl.policies.flow.hoisted import HoistedPolicy
from zprl.utils.errors import ZprlError

UNET = "zprl.policies.flow.unet:UNetVelocityField"
ACTION_DIM = 3


def make_policy(horizon=8, channels=(8, 16, 24), **settings):
    torch.manual_seed(0)
    sizes = {"execute_steps": 1, "embed_dim": 6, "embed_hidden_dims": (12,), "latent_dim": 4, "time_embed_dim": 8}
    sizes |= {"vib_hidden_dims": (11,), "unet_groups": 4, "velocity_field_class": UNET, "num_flow_steps": 3}
    cfg = FlowPolicyCfg(horizon=horizon, unet_channels=channels, **(sizes | settings))
    policy = FlowPolicy(cfg, 5, ACTION_DIM)
    for name, parameter in policy.velocity_field.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.2)
    return policy


def reference_velocity(weights, cfg, x, condition, t):
    """Diffusion Policy's conditional U-Net, which joins time and condition before the linear layer of each block."""
    kernel, levels = cfg.unet_kernel_size, len(cfg.unet_channels)
    first = torch.cat([weights["time_mlp.4.weight"], weights["condition_modulation.weight"]], dim=1)
    joined = functional.linear(
        flow_matching.time_features(t, cfg.time_embed_dim), weights["time_mlp.0.weight"], weights["time_mlp.0.bias"]
    )
    joined = functional.linear(functional.mish(joined), weights["time_mlp.2.weight"], weights["time_mlp.2.bias"])
    joined = functional.mish(torch.cat([joined, condition], dim=-1))
    rows = iter(range(len(first)))

    def conv_block(h, name):
        h = functional.conv1d(h, weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"], padding=kernel // 2)
        norm = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        return functional.mish(functional.group_norm(h, cfg.unet_groups, *norm))

    def block(h, name):
        width = len(weights[f"{name}.block_in.conv.weight"])
        index = list(itertools.islice(rows, 2 * width))
        film = functional.linear(joined, first[index], weights["condition_modulation.bias"][index])
        scale, shift = film.view(len(x), 2, width, 1).unbind(1)
        out = conv_block(scale * conv_block(h, f"{name}.block_in") + shift, f"{name}.block_out")
        if f"{name}.residual.weight" in weights:
            h = functional.conv1d(h, weights[f"{name}.residual.weight"], weights[f"{name}.residual.bias"])
        return out + h

    def layer(function, h, name, **options):
        return function(h, weights[f"{name}.weight"], weights[f"{name}.bias"], **options)

    multiple = 2 ** (levels - 1)
    h = functional.pad(x.transpose(1, 2), (0, -cfg.horizon % multiple))
    passed = []
    for level in range(levels):
        h = block(block(h, f"down.{2 * level}"), f"down.{2 * level + 1}")
        passed.append(h)
        if level < levels - 1:
            h = layer(functional.conv1d, h, f"downsample.{level}", stride=2, padding=1)
    h = block(block(h, "middle.0"), "middle.1")
    for index in range(levels - 1):
        h = torch.cat([h, passed.pop()], dim=1)
        h = block(block(h, f"up.{2 * index}"), f"up.{2 * index + 1}")
        h = layer(functional.conv_transpose1d, h, f"upsample.{index}", stride=2, padding=1)
    assert next(rows, None) is None, "FiLM has weights that nobody uses"
    h = layer(functional.conv1d, conv_block(h, "output_block"), "output")
    return h[..., : cfg.horizon].transpose(1, 2)


def velocity_and_gradients(velocity, parameters, *inputs):
    """Velocity of random chunks, and the gradients of all parameters that a random direction of it gives."""
    result = velocity(*inputs)
    direction = torch.randn(result.shape, generator=torch.Generator().manual_seed(5)).to(result)
    return result.detach(), torch.autograd.grad((result * direction).sum(), list(parameters.values()))


@pytest.mark.parametrize(
    ("horizon", "channels", "settings"),
    [
        (8, (8, 16, 24), {}),
        (16, (8, 8), {"unet_kernel_size": 3}),
        (5, (12, 4, 20), {"unet_kernel_size": 7}),
        (1, (8, 16), {"unet_groups": 1}),
        (3, (6,), {"unet_groups": 3, "unet_kernel_size": 1}),
    ],
)
def test_velocity_and_gradients_are_the_reference_networks(horizon, channels, settings):
    policy = make_policy(horizon, channels, **settings)
    field, generator = policy.velocity_field, torch.Generator().manual_seed(1)
    inputs = torch.randn(4, horizon, ACTION_DIM, generator=generator), torch.randn(4, 6, generator=generator)
    inputs = (*inputs, torch.rand(4, generator=generator))
    exact = {name: value.detach().double().requires_grad_() for name, value in field.named_parameters()}
    expected, exact_gradients = velocity_and_gradients(
        lambda *x: reference_velocity(exact, policy.cfg, *x), exact, *(x.double() for x in inputs)
    )
    assert expected.square().mean() > 1e-4
    velocity, gradients = velocity_and_gradients(field, dict(field.named_parameters()), *inputs)
    torch.testing.assert_close(velocity.double(), expected, atol=1e-5, rtol=1e-5)
    largest = max(gradient.abs().max() for gradient in exact_gradients)
    for name, gradient, exact_gradient in zip(exact, gradients, exact_gradients, strict=True):
        assert (gradient - exact_gradient).abs().max() <= 1e-5 * largest, name
    in_double = field.double()(*(x.double() for x in inputs))
    torch.testing.assert_close(in_double, expected, atol=1e-12, rtol=1e-12)


def test_the_papers_network_has_its_size():
    cfg = FlowPolicyCfg(velocity_field_class=UNET)
    with torch.device("meta"):
        field = FlowPolicy(cfg, 40, 7).velocity_field
    assert (cfg.unet_channels, cfg.unet_kernel_size, cfg.unet_groups) == ((128, 256, 512), 5, 8)
    assert sum(value.numel() for value in field.parameters()) == 16_225_095


@pytest.mark.parametrize("solver", ["euler", "rk4"])
def test_what_is_computed_beforehand_changes_nothing(solver):
    policy = make_policy(solver=solver)
    condition, noise = torch.randn(4, 6), torch.randn(4, 8, ACTION_DIM)
    method = flow_matching.SOLVERS[solver]
    times = flow_matching.evaluation_times(method, 3)
    with torch.no_grad():
        direct = flow_matching.integrate(
            lambda x, row: policy.velocity_field(x, condition, torch.full((4,), times[row])), noise, method, 3
        )
        torch.testing.assert_close(policy.integrate(condition, noise), direct)
        obs, residual = torch.randn(4, 5), torch.randn(4, 4)
        torch.testing.assert_close(HoistedPolicy(policy)(obs, residual, noise), policy.act(obs, residual, noise))


def test_it_trains_and_comes_back_from_a_file(tmp_path):
    generator = torch.Generator().manual_seed(0)
    obs = [0.1 * torch.randn(30, 4, generator=generator).cumsum(dim=0) for _ in range(6)]
    actions = [torch.stack([torch.sin(o[:, 0]), o[:, 1] - o[:, 2]], dim=1) for o in obs]
    cfg = make_policy(5, (8, 16)).cfg
    pretrain_cfg = PretrainCfg(num_steps=200, batch_size=32, learning_rate=5e-3, warmup_steps=10)
    result = train_policy([{"policy": o} for o in obs], actions, cfg, pretrain_cfg)
    together, wanted = torch.cat(obs), torch.cat(actions)
    scale = wanted.var(dim=0).mean()
    chunk = result.policy.generate(result.policy.embed(together))
    assert (chunk[:, 0] - wanted).square().mean() < 0.4 * scale

    save_policy(tmp_path / "base.safetensors", result.policy, {})
    loaded, _ = load_policy(tmp_path / "base.safetensors")
    assert torch.equal(loaded.act(together), result.policy.act(together))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"unet_kernel_size": 4}, "unet_kernel_size is 4; it must be odd."),
        ({"channels": (8, 10)}, r"unet_channels has 10, which is no multiple of unet_groups \(4\)."),
        ({"channels": ()}, "unet_channels"),
        ({"unet_groups": 0}, "unet_groups"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ZprlError, match=words):
        make_policy(**settings)
