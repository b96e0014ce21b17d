# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The actor inside the compiled policy step against rsl_rl's model and the torch policy in double precision."""

import copy
import math

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch import nn

from zprl.policies import FlowBasePolicy, FlowPolicy, FlowPolicyCfg, NativePolicyStep
from zprl.policies.native.blob import pack_policy
from zprl.rl.actor import pack_actor
from zprl.rl.distribution import SquashedGaussian
from zprl.spec import ActionTerm, Group, TaskSpec
from zprl.steering import LatentResidual, LatentResidualCfg
from zprl.utils.errors import ZprlError

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")

TOLERANCE = 1e-5  # of the root mean square
OBS, ACTION, LATENT = 40, 7, 16
GAUSSIAN = {"class_name": "zprl.rl.distribution:ZeroMeanGaussian", "init_std": 0.5, "std_type": "log"}
SQUASHED = {"class_name": "zprl.rl.distribution:SquashedGaussian"}
OUTPUT_FIELD, PARTS_FIELD = 43, 44  # kFieldActorOutput and kFieldParts of the blob's header


def make_policy(seed=0, **settings):
    torch.manual_seed(seed)
    policy = FlowPolicy(FlowPolicyCfg(latent_dim=LATENT, **settings), OBS, ACTION)
    for name, parameter in policy.named_parameters():
        std = 0.1 if name.endswith("bias") or "modulation" in name or "time_mlp" in name else parameter.shape[1] ** -0.5
        nn.init.normal_(parameter, std=std)
    policy.set_normalizers(torch.randn(64, OBS) * 3.0 + 1.0, torch.randn(64, ACTION) * 0.3 - 0.1)
    return policy


def make_actor(hidden=(256, 128), activation="elu", normalized=True, obs=OBS, groups=("policy", "latent"), **settings):
    from rsl_rl.models import MLPModel

    seen = TensorDict({"policy": torch.zeros(1, obs), "latent": torch.zeros(1, LATENT)}, batch_size=[1])
    options = {"distribution_cfg": dict(GAUSSIAN), **settings}
    actor = MLPModel(seen, {"actor": list(groups)}, "actor", LATENT, hidden, activation, normalized, **options)
    for layer in actor.mlp:
        if isinstance(layer, nn.Linear):  # the last is zero otherwise; outputs on both sides of the bound
            nn.init.normal_(layer.weight, std=1.5 * layer.in_features**-0.5)
            nn.init.normal_(layer.bias, std=0.1)
    if normalized:
        actor.train()
        inputs = {"policy": 3.0 * torch.randn(256, obs) + 1.0, "latent": torch.randn(256, LATENT)}
        actor.update_normalization(TensorDict(inputs, batch_size=[256]))
    return actor.eval()


def observations(rows, seed=1):
    return 3.0 * torch.randn(rows, OBS, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def truth(policy, actor, scale, obs, residual=None):
    """Chunk, mean and decoded latent of the Python model in double precision."""
    exact = FlowPolicy(policy.cfg, OBS, ACTION).double()
    exact.load_state_dict(policy.state_dict())
    obs = obs.double()
    z = exact.encode(obs)[0]
    u = copy.deepcopy(actor).double()(TensorDict({"policy": obs, "latent": z}, batch_size=[len(obs)]))
    edge = math.tanh(1.0) if isinstance(actor.distribution, SquashedGaussian) else 1.0
    assert (u.abs() > edge).any() and (u.abs() < edge).any()  # the bound is part of the test
    added = scale * u.clamp(-1.0, 1.0) + (0.0 if residual is None else residual.double())
    return exact.act(obs, added), z, z + added


def assert_exact(result, expected):
    error = (torch.as_tensor(result).double() - expected).abs().max() / expected.square().mean().sqrt()
    assert error < TOLERANCE, f"maximal error {error:.2e} of the root mean square"


@pytest.mark.parametrize("rows", [1, 3, 37])
@pytest.mark.parametrize("activation", ["elu", "relu", "tanh", "swish", "gelu"])
def test_activations(activation, rows):
    policy, actor, scale = make_policy(), make_actor(activation=activation), 0.7
    chunk, mean, decoded = truth(policy, actor, scale, observations(rows))
    core = _core.Policy(pack_policy(policy, actor=pack_actor(actor, scale)).numpy())
    assert core.steered
    results = core.act_with_latents(observations(rows).numpy())
    for result, expected in zip(results, (chunk, mean, decoded), strict=True):
        assert_exact(result, expected)
    assert np.array_equal(core.act(observations(rows).numpy()), results[0])


@pytest.mark.parametrize("hidden", [(31,), (17, 300, 29), (8,) * 8])
@pytest.mark.parametrize("normalized", [True, False])
def test_shapes(hidden, normalized):
    policy, actor = make_policy(), make_actor(hidden, normalized=normalized)
    core = _core.Policy(pack_policy(policy, actor=pack_actor(actor, 0.5)).numpy())
    assert_exact(core.act(observations(16).numpy()), truth(policy, actor, 0.5, observations(16))[0])


@pytest.mark.parametrize("rows", [1, 37])
@pytest.mark.parametrize("hidden", [(256, 256), (8,) * 8])
def test_the_squashed_output_of_sac(hidden, rows):
    policy, actor, scale = make_policy(), make_actor(hidden, distribution_cfg=SQUASHED), 0.7
    packed = pack_actor(actor, scale)
    assert (packed.output, packed.layers[-1].out_features) == ("tanh", LATENT)
    core = _core.Policy(pack_policy(policy, actor=packed).numpy())
    results = core.act_with_latents(observations(rows).numpy())
    for result, expected in zip(results, truth(policy, actor, scale, observations(rows)), strict=True):
        assert_exact(result, expected)


@pytest.mark.parametrize("distribution", [GAUSSIAN, SQUASHED])
def test_no_output_leaves_the_bound(distribution):
    policy, actor, scale = make_policy(), make_actor(distribution_cfg=distribution), 0.5
    *_, last_weight, _ = actor.mlp.parameters()
    with torch.no_grad():
        last_weight.mul_(1e6)
    core = _core.Policy(pack_policy(policy, actor=pack_actor(actor, scale)).numpy())
    _, mean, decoded = core.act_with_latents(observations(37).numpy())
    largest = np.abs(decoded.astype(np.float64) - mean).max()
    assert largest == pytest.approx(scale, abs=1e-6)  # of the latents' rounding to single precision


def test_the_torch_operator_steers_and_still_adds_a_residual():
    policy, actor = make_policy(), make_actor()
    NativePolicyStep(policy)  # loads the operators
    blob = pack_policy(policy, actor=pack_actor(actor, 0.5))
    obs, residual = observations(5), 0.3 * torch.randn(5, LATENT, generator=torch.Generator().manual_seed(2))
    chunk = torch.ops.zprl.policy_step(obs, residual, policy.sample_noise(5), blob)
    assert_exact(chunk, truth(policy, actor, 0.5, obs, residual)[0])


def test_it_is_what_evaluation_runs():
    policy, actor = make_policy(), make_actor()
    spec = TaskSpec("toy", (Group.vector("policy", [("state", OBS)]),), (ActionTerm.uniform("arm", ACTION),), 0.05)
    base = FlowBasePolicy(NativePolicyStep(policy), spec, {"latent_mean_rms": 0.9, "embedding_rms": 1.0})
    steering = LatentResidual(LatentResidualCfg(scale=0.8), base)
    obs = observations(9)
    plan = base.encode({"policy": obs})
    with torch.no_grad():
        u = actor(steering.observe(plan, ["policy", "latent"]))
    core = _core.Policy(pack_policy(policy, actor=pack_actor(actor, steering.residual_scale)).numpy())
    expected = steering.act(plan, u)
    torch.testing.assert_close(torch.from_numpy(core.act(obs.numpy())), expected, atol=2e-5, rtol=0.0)


def test_bfloat16_weights_leave_the_latents_exact():
    if not _core.multiplies_bfloat16():
        pytest.skip("this processor does not multiply bfloat16")
    policy, actor = make_policy(), make_actor()
    core = _core.Policy(pack_policy(policy, "bfloat16", pack_actor(actor, 0.5)).numpy())
    chunk, mean, decoded = truth(policy, actor, 0.5, observations(16))
    results = core.act_with_latents(observations(16).numpy())
    assert_exact(results[1], mean)
    assert_exact(results[2], decoded)
    assert np.abs(results[0] - chunk.numpy()).max() < 3e-2 * chunk.square().mean().sqrt()


def test_without_an_actor_nothing_changes():
    policy = make_policy()
    core = _core.Policy(pack_policy(policy).numpy())
    chunk, mean, decoded = core.act_with_latents(observations(3).numpy())
    assert not core.steered
    assert np.array_equal(mean, decoded)
    assert np.array_equal(mean, core.encode(observations(3).numpy())[0])
    assert np.array_equal(chunk, core.act(observations(3).numpy()))


@pytest.mark.parametrize("distribution", [GAUSSIAN, SQUASHED])
def test_nan_stays_in_its_row(distribution):
    actor = pack_actor(make_actor(distribution_cfg=distribution), 0.5)
    core = _core.Policy(pack_policy(make_policy(), actor=actor).numpy())
    obs = observations(3).numpy()
    clean = core.act(obs)
    obs[1, 5] = np.nan
    chunk, mean, decoded = core.act_with_latents(obs)
    for values in (chunk, mean, decoded):
        assert np.isnan(values[1]).all()
    assert np.array_equal(chunk[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "selu"}, "activation is one of ELU, ReLU, Tanh, SiLU, GELU, and this one has SELU"),
        ({"hidden": (4,) * 9}, "at most 8 hidden layers"),
        ({"groups": ("latent", "policy")}, "the groups policy and latent, and this one sees latent, policy"),
        (
            {"distribution_cfg": {"class_name": "rsl_rl.modules.distribution:HeteroscedasticGaussianDistribution"}},
            "this one has a HeteroscedasticGaussianDistribution",
        ),
    ],
)
def test_refused_actors(settings, message):
    with pytest.raises(ZprlError, match=message) as caught:
        pack_actor(make_actor(**settings), 0.5)
    assert len(str(caught.value).splitlines()) == 1


def test_refused_models():
    with pytest.raises(ZprlError, match="runs MLPModel only"):
        pack_actor(nn.Linear(3, 3), 0.5)


def test_an_actor_of_another_policy_is_refused():
    with pytest.raises(ZprlError, match="maps 55 numbers to 16, and this policy needs one from 56 to 16"):
        pack_policy(make_policy(), actor=pack_actor(make_actor(obs=39), 0.5))


def test_an_actor_with_nan_is_refused():
    actor = make_actor()
    with torch.no_grad():
        dict(actor.named_parameters())["mlp.0.weight"][0, 0] = torch.nan
    with pytest.raises(ZprlError, match="not finite"):
        pack_policy(make_policy(), actor=pack_actor(actor, 0.5))


@pytest.mark.parametrize("version", [2, 7])
def test_blobs_of_another_version_are_refused(version):
    blob = pack_policy(make_policy()).numpy().copy()
    blob.view(np.int32)[1] = version
    with pytest.raises(ValueError, match=f"its version is {version}, and this library reads versions 3 to 6"):
        _core.Policy(blob)


@pytest.mark.parametrize("version", [3, 4])
def test_a_blob_of_an_older_version_has_all_parts_and_clamps(version):
    blob = pack_policy(make_policy(), actor=pack_actor(make_actor(), 0.5)).numpy()
    old, obs = blob.copy(), observations(3).numpy()
    old.view(np.int32)[[1, PARTS_FIELD]] = version, 0
    assert _core.Policy(old).parts == _core.Policy(blob).parts == ["encoder", "bottleneck", "flow", "actor"]
    assert np.array_equal(_core.Policy(old).act(obs), _core.Policy(blob).act(obs))


@pytest.mark.parametrize("output", [-1, 2])
def test_an_unknown_output_is_refused(output):
    blob = pack_policy(make_policy(), actor=pack_actor(make_actor(), 0.5)).numpy().copy()
    assert blob.view(np.int32)[OUTPUT_FIELD] == 0
    blob.view(np.int32)[OUTPUT_FIELD] = output
    with pytest.raises(ValueError, match=f"its actor's output is number {output}"):
        _core.Policy(blob)


def test_the_profile_has_an_actor_where_there_is_one():
    policy, actor = make_policy(), make_actor()
    steered = _core.Policy(pack_policy(policy, actor=pack_actor(actor, 0.5)).numpy()).profile(3, 5)
    base = _core.Policy(pack_policy(policy).numpy()).profile(3, 5)
    assert set(steered) - set(base) == {"actor"}
    assert list(base) == [
        *("encode", "decode", "modulate", "input", "layer_norm", "block_in", "block_out", "output", "solver", "chunk")
    ]
    assert all(seconds > 0.0 for seconds in steered.values())
