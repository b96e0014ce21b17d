# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Every instruction set that this processor has, and both types of weights, against double precision."""

import hashlib
import itertools
import json
import os
import subprocess
import sys

import pytest
import torch

from zprl.policies import NativePolicyStep
from zprl.policies.flow.cfg import SOLVER_NAMES
from zprl.sim.render import RayCaster, RenderStyle
from zprl.utils.errors import ZprlError

from ..sim.render.scenes import ALL, camera, crowd
from .test_policy_step import make_inputs, make_policy, truth

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")

needs_bf16 = pytest.mark.skipif(not _core.multiplies_bfloat16(), reason="this processor does not multiply bfloat16")


def rounded(policy):
    """Return the policy with the weights of modulation and velocity field rounded to bfloat16, as they are packed."""
    with torch.no_grad():
        for name, parameter in policy.velocity_field.named_parameters():
            if name.endswith("weight") and "time_mlp" not in name and "norm" not in name:
                parameter.copy_(parameter.bfloat16().float())
    return policy


def errors(result, expected):
    """Return the largest error and its root mean square, both in units of the truth's root mean square."""
    error, scale = result.double() - expected, expected.square().mean().sqrt()
    return (error.abs().max() / scale).item(), (error.square().mean().sqrt() / scale).item()


def in_process(code, level):
    """Run Python code with another instruction set; return what it prints as JSON, or its error."""
    environment = {**os.environ, "ZPRL_CPU": level, "OMP_NUM_THREADS": "1"}
    script = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.dirname(os.path.dirname(__file__)))!r})\n{code}"
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    return json.loads(result.stdout) if result.returncode == 0 else result.stderr


ACCURACY = """
import json, torch
from tests.native.test_instruction_sets import errors
from tests.native.test_policy_step import SHAPES, make_inputs, make_policy, truth
from tests.native.test_unet import SHAPES as UNETS
from zprl import _core
from zprl.policies import NativePolicyStep
worst = []
for settings in SHAPES + UNETS:
    policy = make_policy(**settings)
    for rows in (1, 2, 13, 50):
        inputs = make_inputs(policy, rows)
        result = NativePolicyStep(policy).act(*inputs)
        together = torch.equal(result[:1], NativePolicyStep(policy).act(*(x[:1] for x in inputs)))
        worst.append((errors(result, truth(policy, *inputs)[0])[0], together))
print(json.dumps([_core.cpu_level(), max(e for e, _ in worst), all(t for _, t in worst)]))
"""


@pytest.mark.parametrize("level", _core.cpu_levels())
def test_every_instruction_set_is_exact(level):
    answer = in_process(ACCURACY, level)
    assert isinstance(answer, list), answer
    name, error, independent = answer
    assert name == level
    assert error < 1e-5
    assert independent, "a row's result depends on the batch"


LEARNING = """
import json, torch
from tests.rl.test_native import LEARNERS, NETWORKS, TOLERANCE, assert_learns_alike
from zprl import _core
for dtype in TOLERANCE:
    torch.set_default_dtype(dtype)
    for make, learn in LEARNERS.values():
        for network in NETWORKS:
            assert_learns_alike(make, learn, dtype, 1, network=network)
print(json.dumps(_core.cpu_level()))
"""


# The best one runs in tests/rl/test_native.py.
@pytest.mark.parametrize("level", [level for level in _core.cpu_levels()[:-1] if level in ("portable", "avx2")])
def test_learners_learn_as_by_autograd_on_every_instruction_set(level):
    assert in_process(LEARNING, level) == level


PICTURES = """
import json
from tests.native.test_instruction_sets import pictures
from zprl import _core
print(json.dumps([_core.cpu_level(), pictures()]))
"""


def pictures():
    """Return a checksum over images of a crowded scene."""
    things, where, eyes = crowd(6, count=40, worlds=3)
    checksum = hashlib.sha256()
    for style in (RenderStyle(samples=1), RenderStyle(shadows=True)):
        images = RayCaster(things, camera(), style).render(where, eyes, outputs=ALL)
        for name in ALL:
            checksum.update(images[name].tobytes())
    return checksum.hexdigest()


@pytest.mark.parametrize("level", [level for level in _core.cpu_levels()[:-1] if level in ("portable", "avx2")])
def test_every_instruction_set_draws_the_same_pictures(level):
    assert in_process(PICTURES, level) == [level, pictures()]


def test_unknown_instruction_set():
    message = in_process("from zprl.policies.native.library import cpu_level; cpu_level()", "avx1024")
    assert "ZPRL_CPU is 'avx1024'; this processor has portable" in message


def test_bf16_is_refused_where_it_cannot_be_multiplied():
    code = """
import json
from tests.native.test_policy_step import make_policy, make_inputs
from zprl.policies import NativePolicyStep, make_policy_step
from zprl.policies.native.blob import pack_policy
from zprl import _core
policy = make_policy(backend="native_bf16")
messages = []
blob = pack_policy(policy, "bfloat16").numpy()
for refused in (lambda: NativePolicyStep(policy, "bfloat16"), lambda: _core.Policy(blob)):
    try: refused()
    except Exception as error: messages.append(type(error).__name__ + ": " + str(error))
messages.append(make_policy_step(policy, device="cpu").backend)
print(json.dumps(messages))
"""
    ours, core, fallback = in_process(code, "portable")
    assert ours == "ZprlError: this processor (portable) does not multiply bfloat16; use float32 weights."
    assert core.startswith("ValueError: zprl: the policy's weights are bfloat16, which this processor (portable) does")
    assert fallback == "torch"


# Without the shape whose chunk is a single number, which can cancel to much less than its parts. With rows that
# fill no, one and several tiles of the matrix unit, with and without a rest.
BF16_ACCURACY = """
import json, torch
from tests.native.test_instruction_sets import errors, rounded
from tests.native.test_policy_step import SHAPES, make_inputs, make_policy, truth
from zprl import _core
from zprl.policies import NativePolicyStep
worst = []
for settings in SHAPES:
    if settings.get("horizon") == 1: continue
    policy = rounded(make_policy(**settings))
    step = NativePolicyStep(policy, "bfloat16")
    for rows in (1, 5, 16, 17, 50, 131):
        inputs = make_inputs(policy, rows)
        result = step.act(*inputs)
        alone = torch.cat([step.act(*(x[i : i + 1] for x in inputs)) for i in range(rows)])
        worst.append((*errors(result, truth(policy, *inputs)[0]), torch.equal(result, alone)))
largest, rms, independent = zip(*worst)
print(json.dumps([_core.cpu_level(), step.backend, max(largest), max(rms), all(independent)]))
"""


@pytest.mark.parametrize("level", [level for level in _core.cpu_levels() if level in ("avx512_bf16", "amx")])
def test_bf16_accuracy(level):
    answer = in_process(BF16_ACCURACY, level)
    assert isinstance(answer, list), answer
    name, backend, largest, rms, independent = answer
    assert (name, backend) == (level, "native_bf16")
    assert largest <= 3e-2
    assert rms <= 6e-3
    assert independent, "a row's result depends on the batch"


@needs_bf16
@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_bf16_error_does_not_grow_with_the_number_of_steps(solver):
    """A state in bfloat16 would add an error with every step; in single precision it only averages them."""
    rms = {}
    for steps in (1, 4, 10, 16):
        policy = rounded(make_policy(solver=solver, num_flow_steps=steps))
        inputs = make_inputs(policy, 64)
        rms[steps] = errors(NativePolicyStep(policy, "bfloat16").act(*inputs), truth(policy, *inputs)[0])[1]
    assert max(rms.values()) <= 6e-3
    assert rms[16] <= 1.5 * rms[1]


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_order_of_convergence(solver, order):
    """Halving the steps divides the error by 2^order, down to what single precision can tell."""
    steps = (8, 16, 32) if order < 4 else (2, 4, 8)
    inputs, results = None, []
    for count in (*steps, 256):
        policy = make_policy(solver=solver, num_flow_steps=count, velocity_hidden_dim=32, velocity_num_blocks=1)
        with torch.no_grad():  # random time features are too wild for so few steps
            for parameter in policy.velocity_field.get_submodule("time_mlp").parameters():
                parameter.zero_()
        inputs = inputs or make_inputs(policy, 8)
        results.append(NativePolicyStep(policy).act(*inputs).double())
    distances = [(result - results[-1]).square().mean().sqrt().item() for result in results[:-1]]
    for coarse, fine in itertools.pairwise(distances):
        assert coarse / fine == pytest.approx(2**order, rel=0.3)


def test_integrate_is_the_flow_alone():
    policy = make_policy(solver="heun")
    _, _, noise = make_inputs(policy, 11)
    condition = torch.randn(11, policy.cfg.embed_dim, generator=torch.Generator().manual_seed(3))
    exact = make_policy(solver="heun").double()
    with torch.no_grad():
        expected = exact.integrate(condition.double(), noise.double())
    step = NativePolicyStep(policy)
    assert errors(step.integrate(condition, noise), expected)[0] < 1e-5
    core = _core.Policy(step.blob.numpy())
    assert torch.equal(
        torch.from_numpy(core.integrate(condition.numpy(), noise.numpy())), step.integrate(condition, noise)
    )
    zero = torch.from_numpy(core.integrate(condition.numpy()))
    assert torch.equal(zero, step.integrate(condition, torch.zeros_like(noise)))


# -- sampled latents


def philox4x32(counter, key):
    """Philox4x32-10 from its paper (Salmon et al., SC 2011), with Python's whole numbers."""
    counter, key, mask = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(p1 >> 32) ^ counter[1] ^ key[0], p1 & mask, (p0 >> 32) ^ counter[3] ^ key[1], p0 & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return counter


def standard_normals(seed, count):
    """Numbers that a seed stands for, by Box and Muller."""
    seed %= 2**64
    values = []
    for index in range(count):
        words = philox4x32([index // 4, 0, 0, 0], [seed & 0xFFFFFFFF, seed >> 32])
        first, second = (torch.tensor(float(w >> 8), dtype=torch.float64) for w in words[index // 2 % 2 * 2 :][:2])
        radius = (-2 * torch.log((first + 1) / 2**24)).sqrt()
        angle = second / 2**24 * 2 * torch.pi
        values.append((radius * (torch.cos(angle) if index % 2 == 0 else torch.sin(angle))).item())
    return torch.tensor(values)


def test_philox_known_answers():
    assert philox4x32([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox4x32([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_sampled_latent_is_the_mean_plus_its_noise():
    policy = make_policy()
    obs, residual, noise = make_inputs(policy, 5)
    step = NativePolicyStep(policy)
    seeds = torch.tensor([0, 1, -7, 2**40 + 3, 12345])
    logvar = step.encode(obs)[1]
    drawn = torch.stack([standard_normals(seed, policy.cfg.latent_dim) for seed in seeds.tolist()])
    expected = step.act(obs, residual + torch.exp(0.5 * logvar) * drawn, noise)
    sampled = step.act_sampled(obs, seeds, residual, noise)
    torch.testing.assert_close(sampled, expected, atol=2e-5, rtol=0)
    assert (sampled - step.act(obs, residual, noise)).abs().max() > 0.01
    # A row's sample depends on its seed alone.
    assert torch.equal(step.act_sampled(obs[3:4], seeds[3:4], residual[3:4], noise[3:4]), sampled[3:4])
    core = _core.Policy(step.blob.numpy())
    same = core.act(obs.numpy(), residual.numpy(), noise.numpy(), seeds.numpy().view("uint64"))
    assert torch.equal(torch.from_numpy(same), sampled)
    with pytest.raises((RuntimeError, ValueError), match="latent_seed must have the dtype int64"):
        step.act_sampled(obs, seeds.int())
    with pytest.raises((RuntimeError, ValueError), match=r"latent_seed must have the shape \(5\)"):
        step.act_sampled(obs, seeds[:2])


def test_sampled_latents_are_standard_normal():
    values = torch.cat([standard_normals(seed, 16) for seed in range(400)])
    assert values.mean().abs() < 4 / len(values) ** 0.5
    assert values.var().item() == pytest.approx(1.0, abs=4 * (2 / len(values)) ** 0.5)


def test_unknown_precision():
    with pytest.raises(ZprlError, match="unknown precision 'float16'; choose one of float32, tf32, bfloat16"):
        NativePolicyStep(make_policy(), "float16")
