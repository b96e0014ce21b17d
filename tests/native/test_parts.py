# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A policy step in two halves, from an observation to its latent and from there on, and policies that lack parts."""

import numpy as np
import pytest
import torch
from torch import nn

from zprl.policies import NativePolicyStep
from zprl.policies.native import library as native
from zprl.policies.native.blob import PackedActor, pack_policy
from zprl.utils.errors import ZprlError

from .test_instruction_sets import errors, in_process
from .test_policy_step import SHAPES, make_inputs, make_policy

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")
native.load_torch_library()
ops = torch.ops.zprl

PARTS_FIELD = 44  # kFieldParts of the blob's header
REFUSED = (RuntimeError, ValueError)


class OtherEmbedding(nn.Module):
    """An embedding that the native libraries do not know."""

    def __init__(self, policy):
        super().__init__()
        self.layer = nn.Linear(policy.obs_dim, policy.cfg.embed_dim)

    def forward(self, obs):
        return torch.tanh(self.layer(obs))


def without_encoder(**settings):
    policy = make_policy(**settings)
    policy.embedding = OtherEmbedding(policy)
    return policy


def without_bottleneck(**settings):
    policy = without_encoder(**settings)
    policy.bottleneck = None  # type: ignore[assignment]
    return policy


# -- one observation, encoded once -------------------------------------------------------------------------------------

BIT_EQUALITY = """
import itertools, json, sys, torch
from tests.native.test_policy_step import SHAPES, make_inputs, make_policy
from zprl import _core
from zprl.policies.native.blob import pack_policy
from zprl.policies.native.library import load_torch_library, multiplies_bfloat16
load_torch_library()
ops, equal, differ = torch.ops.zprl, [], []
for settings, dtype in itertools.product(SHAPES, ("float32", "bfloat16")):
    if dtype == "bfloat16" and not multiplies_bfloat16(): continue
    policy = make_policy(**settings)
    blob = pack_policy(policy, dtype)
    core = _core.Policy(blob.numpy())
    for rows in (1, 2, 13, 50, 131):
        obs, residual, noise = make_inputs(policy, rows)
        expected = ops.policy_step(obs, residual, noise, blob)
        z = ops.latent(obs, blob, policy.cfg.latent_dim)
        assert z.dtype == torch.float64
        chunk = ops.act(z + residual.double(), noise, blob)
        ours = core.act_from_latent((z + residual.double()).numpy(), noise.numpy())
        equal.append(torch.equal(chunk, expected) and torch.equal(torch.from_numpy(ours), expected))
        equal.append(torch.equal(torch.from_numpy(core.latent(obs.numpy())), z))
        equal.append(torch.equal(z.float(), ops.encode(obs, blob, policy.cfg.latent_dim)[0]))
        differ.append(not torch.equal(z, z.float().double()))
print(json.dumps([_core.cpu_level(), len(equal), all(equal), all(differ)]))
"""


@pytest.mark.parametrize("level", _core.cpu_levels())
def test_the_two_halves_are_the_whole_bit_by_bit(level):
    answer = in_process(BIT_EQUALITY, level)
    assert isinstance(answer, list), answer
    name, count, equal, unrounded = answer
    assert name == level and count >= 15 * len(SHAPES)
    assert equal
    assert unrounded  # a latent in single precision would have been another one


@pytest.mark.parametrize("settings", SHAPES, ids=range(len(SHAPES)))
def test_a_rounded_latent_is_that_latent(settings):
    policy = make_policy(**settings)
    blob = pack_policy(policy)
    _, residual, noise = make_inputs(policy, 17)
    chunk = ops.act(residual, noise, blob)
    assert torch.equal(chunk, ops.act(residual.double(), noise, blob))
    core = _core.Policy(blob.numpy())
    assert np.array_equal(core.act_from_latent(residual.numpy(), noise.numpy()), chunk)
    assert np.array_equal(core.act_from_latent(residual.numpy()), ops.act(residual, torch.zeros_like(noise), blob))
    exact = make_policy(**settings).double()
    with torch.no_grad():
        expected = exact.integrate(exact.decode(residual.double()), noise.double())
        expected = exact.action_normalizer.inverse(expected)
    assert errors(chunk, expected)[0] < 1e-5


def test_an_actor_adds_nothing_to_a_given_latent():
    policy = make_policy()
    width, latent = policy.obs_dim + policy.cfg.latent_dim, policy.cfg.latent_dim
    actor = PackedActor(torch.zeros(width), torch.ones(width), (nn.Linear(width, latent),), nn.ELU, 0.5)
    steered, base = pack_policy(policy, actor=actor), pack_policy(policy)
    obs, residual, noise = make_inputs(policy, 5)
    assert torch.equal(ops.latent(obs, steered, latent), ops.latent(obs, base, latent))
    assert torch.equal(ops.act(residual, noise, steered), ops.act(residual, noise, base))
    assert not torch.equal(ops.policy_step(obs, residual, noise, steered), ops.policy_step(obs, residual, noise, base))


def test_a_condition_gives_a_chunk_in_the_actions_units():
    policy = make_policy(solver="heun")
    policy.set_action_limits(torch.full((7,), -0.2), torch.tensor([0.1] * 6 + [torch.inf]))
    blob = pack_policy(policy)
    _, _, noise = make_inputs(policy, 11)
    condition = torch.randn(11, policy.cfg.embed_dim, generator=torch.Generator().manual_seed(3))
    normalised = ops.integrate(condition, noise, blob)
    chunk = ops.act_from_condition(condition, noise, blob)
    expected = policy.action_normalizer.inverse(normalised).clamp(policy.action_low, policy.action_high)
    torch.testing.assert_close(chunk, expected, atol=1e-6, rtol=1e-6)
    assert chunk.min() == torch.tensor(-0.2) and chunk[..., :6].max() == torch.tensor(0.1)
    ours = _core.Policy(blob.numpy()).act_from_condition(condition.numpy(), noise.numpy())
    assert np.array_equal(ours, chunk)


def test_nan_stays_in_its_row_of_latents():
    policy = make_policy()
    blob = pack_policy(policy)
    obs, _, noise = make_inputs(policy, 9)
    clean = ops.latent(obs, blob, 16)
    obs[3, 2] = torch.nan
    z = ops.latent(obs, blob, 16)
    others = torch.arange(9) != 3
    assert z[3].isnan().all() and torch.equal(z[others], clean[others])
    assert torch.equal(ops.act(z, noise, blob)[others], ops.act(clean, noise, blob)[others])
    blob[256:].view(torch.float32)[100] = torch.nan
    with pytest.raises(REFUSED, match="not a finite number"):
        ops.latent(obs, blob, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z, x, b: ops.act(z.half(), x, b), "latent must have the dtype float32 or float64"),
        (lambda z, x, b: ops.act(z[:, 1:], x, b), r"latent must have the shape \(4, 16\), got \(4, 15\)"),
        (lambda z, x, b: ops.act(z, x[:2], b), "noise must have the shape"),
        (lambda z, x, b: ops.act(z, x.double(), b), "noise must have the dtype float32"),
        (lambda z, x, b: ops.latent(z, b, 16), r"obs must have the shape \(4, 40\)"),
        (lambda z, x, b: ops.latent(z, b, 17), "latent has 16 dimensions"),
        (lambda z, x, b: ops.act_from_condition(z, x, b), "condition must have the shape"),
        (lambda z, x, b: ops.act(z, x, b, [0] * 64), "header is not the blob's"),
        (lambda z, x, b: _core.Policy(b.numpy()).act_from_latent(z.half().numpy()), "float32 or float64"),
        (lambda z, x, b: _core.Policy(b.numpy()).act_from_latent(z[0].numpy()), "two dimensions"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(call, message):
    policy = make_policy()
    _, residual, noise = make_inputs(policy, 4)
    with pytest.raises((*REFUSED, TypeError), match=message):
        call(residual, noise, pack_policy(policy))


def test_programs_can_be_exported():
    """The shape functions say what the operators do."""
    policy = make_policy()
    obs, residual, noise = make_inputs(policy, 3)

    class TwoHalves(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("blob", pack_policy(policy))

        def forward(self, obs, residual, noise):
            z = torch.ops.zprl.latent(obs, self.blob, 16)
            return z, torch.ops.zprl.act(z + residual.double(), noise, self.blob)

    program = torch.export.export(TwoHalves(), (obs, residual, noise)).module()
    z, chunk = program(obs, residual, noise)
    assert z.dtype == torch.float64
    assert torch.equal(chunk, NativePolicyStep(policy).act(obs, residual, noise))
    for op, arguments in (
        (ops.latent, (obs, policy_blob := pack_policy(policy), 16)),
        (ops.act, (residual, noise, policy_blob)),
        (ops.act_from_condition, (torch.randn(3, policy.cfg.embed_dim), noise, policy_blob)),
    ):
        torch.library.opcheck(op.default, arguments, test_utils=("test_schema", "test_faketensor"))


# -- parts that are not there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("settings", SHAPES, ids=range(len(SHAPES)))
def test_the_rest_runs_behind_another_encoder(settings, dtype):
    if dtype == "bfloat16" and not _core.multiplies_bfloat16():
        pytest.skip("this processor does not multiply bfloat16")
    policy = make_policy(**settings)
    _, residual, noise = make_inputs(policy, 13)
    condition = torch.randn(13, policy.cfg.embed_dim, generator=torch.Generator().manual_seed(3))
    whole = pack_policy(policy, dtype)
    for change, parts in ((without_encoder, ["bottleneck", "flow"]), (without_bottleneck, ["flow"])):
        blob = pack_policy(change(**settings), dtype, whole=False)
        core = _core.Policy(blob.numpy())
        assert core.parts == parts
        assert (core.obs_dim, core.latent_dim) == (0, policy.cfg.latent_dim if "bottleneck" in parts else 0)
        assert blob.numel() < whole.numel()
        for op in (ops.integrate, ops.act_from_condition):
            assert torch.equal(op(condition, noise, blob), op(condition, noise, whole))
        if "bottleneck" in parts:
            assert torch.equal(ops.act(residual, noise, blob), ops.act(residual, noise, whole))
    assert _core.Policy(whole.numpy()).parts == ["encoder", "bottleneck", "flow"]


def test_an_absent_part_is_named_in_one_sentence():
    policy = make_policy()
    obs, residual, noise = make_inputs(policy, 2)
    seeds = torch.zeros(2, dtype=torch.int64)
    for change, words in (
        (without_encoder, "this policy has no encoder: give it a latent instead of an observation."),
        (without_bottleneck, "this policy has no bottleneck: give it a condition instead of"),
    ):
        blob = pack_policy(change(), whole=False)
        core = _core.Policy(blob.numpy())
        calls = [
            lambda b=blob: ops.policy_step(obs, residual, noise, b),
            lambda b=blob: ops.sampled_policy_step(obs, residual, noise, seeds, b),
            lambda b=blob: ops.encode(obs, b, 16),
            lambda b=blob: ops.latent(obs, b, 16),
            lambda c=core: c.act(obs.numpy()),
            lambda c=core: c.act_with_latents(obs.numpy()),
            lambda c=core: c.encode(obs.numpy()),
            lambda c=core: c.latent(obs.numpy()),
        ]
        if change is without_bottleneck:
            calls += [lambda b=blob: ops.act(residual, noise, b), lambda c=core: c.act_from_latent(residual.numpy())]
        for call in calls:
            with pytest.raises(REFUSED, match=words) as error:
                call()
            assert len(str(error.value).splitlines()) == 1


def test_the_whole_is_still_asked_for():
    with pytest.raises(ZprlError, match="runs ObservationEmbedding only, and the policy has a OtherEmbedding"):
        pack_policy(without_encoder())
    with pytest.raises(ZprlError, match="with a bottleneck only"):
        pack_policy(without_bottleneck())
    policy = without_encoder()
    width, latent = policy.obs_dim + policy.cfg.latent_dim, policy.cfg.latent_dim
    actor = PackedActor(torch.zeros(width), torch.ones(width), (nn.Linear(width, latent),), nn.ELU, 0.5)
    with pytest.raises(ZprlError, match="runs ObservationEmbedding only"):
        pack_policy(policy, actor=actor, whole=False)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (0, "it has no flow"),
        (3, "it has no flow"),
        (5, "it has an encoder and no bottleneck"),
        (12, "it has an actor and no encoder"),
        (15, "its parts and its number of actors disagree"),
        (16, "it has parts that are unknown"),
        (-1, "it has parts that are unknown"),
        (6, "the observation width is 40, of a part that is not there"),
        (4, "the observation width is 40, of a part that is not there"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(parts, words):
    blob = pack_policy(make_policy()).numpy().copy()
    assert blob.view(np.int32)[PARTS_FIELD] == 7
    blob.view(np.int32)[PARTS_FIELD] = parts
    with pytest.raises(ValueError, match=words):
        _core.Policy(blob)


def test_a_profile_begins_where_the_policy_begins():
    whole = list(_core.Policy(pack_policy(make_policy()).numpy()).profile(3, 3))
    for change, missing in ((without_encoder, {"encode"}), (without_bottleneck, {"encode", "decode"})):
        profile = _core.Policy(pack_policy(change(), whole=False).numpy()).profile(3, 3)
        assert list(profile) == [name for name in whole if name not in missing]
        assert all(seconds > 0.0 for seconds in profile.values())
