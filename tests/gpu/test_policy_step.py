# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policy step on a GPU against the policy in double precision, and against itself to the last bit."""

import copy
from itertools import combinations_with_replacement

import pytest
import torch
from tests.native.test_policy_step import SHAPES, make_inputs, make_policy

from zprl import _core
from zprl.policies import NativePolicyStep, make_policy_step
from zprl.policies.flow.cfg import SOLVER_NAMES
from zprl.policies.native.blob import OUTPUTS, PackedActor, pack_policy
from zprl.policies.native.step import PRECISIONS
from zprl.profiling.accuracy import double_copy, measure_errors, quantised_copy
from zprl.profiling.shapes import make_shape

DEVICE = "cuda:0"
BATCHES = (1, 2, 3, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1000, 8192, 8193)


def on_gpu(values):
    return tuple(x.to(DEVICE) for x in values)


def check(policy, precision, inputs, result=None):
    """Hold a chunk against the rules of its precision; the truth has the weights as the precision stores them."""
    truth = double_copy(policy).to(DEVICE)
    expected = truth.act(*on_gpu(x.double() for x in inputs)).cpu()
    result = NativePolicyStep(policy, precision, DEVICE).act(*on_gpu(inputs)) if result is None else result
    errors = measure_errors(result, expected)
    assert errors.broken_rules(precision) == [], errors
    return errors


@pytest.fixture(scope="module", params=PRECISIONS)
def precision(request):
    return request.param


@pytest.fixture(scope="module")
def policies():
    """Policies and steps by precision, made once."""
    made = {}

    def get(precision):
        if precision not in made:
            policy = quantised_copy(make_shape("A").policy, precision)
            made[precision] = policy, NativePolicyStep(policy, precision, DEVICE)
        return made[precision]

    return get


# -- correctness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", BATCHES)
def test_batch_sizes(policies, precision, rows):
    policy, step = policies(precision)
    inputs = make_inputs(policy, rows)
    check(policy, precision, inputs, step.act(*on_gpu(inputs)))


# An H200's or H100's 132 multiprocessors are 66 pairs in 8 GPCs of 9, of which 6 are disabled: all ways to do so.
SPLITS = [[18 - 2 * pairs for pairs in disabled] for disabled in combinations_with_replacement(range(7), 8)]
SPLITS = [split for split in SPLITS if sum(split) == 132]
KERNELS = {"tile on wgmma": "wgmma", "tile": "tile", "cluster": "cluster"}


def planned(policy, precision, rows, kernels=""):
    """The kernels that the planner gives a batch on a GPU of 132 multiprocessors, whichever of them it has."""
    blob = pack_policy(policy, "bfloat16" if precision == "bfloat16" else "float32").numpy()
    return {_core.estimate_cuda(blob, precision, rows, kernels, split)["kernel"] for split in SPLITS}


def running(step, rows):
    """The kernel that this GPU runs a batch by."""
    return KERNELS[torch.ops.zprl.cuda_plan(step.blob, rows, step.header).partition(":")[0]]


def require_132_multiprocessors():
    properties = torch.cuda.get_device_properties(0)
    if torch.cuda.get_device_capability() != (9, 0) or properties.multi_processor_count != 132:
        pytest.skip("needs an H100 or H200 with 132 multiprocessors")


@pytest.mark.parametrize("rows", [1, 8, 17])
def test_all_kernels_serve_small_batches(policies, precision, rows, monkeypatch):
    policy, step = policies(precision)
    inputs = make_inputs(policy, rows)
    plans = {}
    for kernel in ("tile", "mma", "wgmma", "cluster"):
        monkeypatch.setenv("ZPRL_CUDA_KERNEL", kernel)
        plans[kernel] = torch.ops.zprl.cuda_plan(step.blob, rows, step.header)
        check(policy, precision, inputs, step.act(*on_gpu(inputs)))
    assert plans["tile"].startswith("tile") and plans["mma"].startswith("tile:")
    has_wgmma = torch.cuda.get_device_capability() == (9, 0) and planned(policy, precision, rows, "wgmma") == {"wgmma"}
    assert plans["wgmma"].startswith("tile on wgmma") == has_wgmma
    if torch.cuda.get_device_capability() < (9, 0):
        assert plans["cluster"] == plans["tile"]
    elif rows == 1 and not plans["cluster"].startswith("cluster"):
        pytest.skip(f"this GPU refuses clusters, and takes {plans['cluster']}")


@pytest.mark.parametrize("shape", ["A", "B"])
@pytest.mark.parametrize("rows", [1, 64, 1024, 8192, 8193])
def test_hopper_runs_what_the_planner_says_without_it(shape, rows, precision):
    require_132_multiprocessors()
    policy = quantised_copy(make_shape(shape).policy, precision)
    step = NativePolicyStep(policy, precision, DEVICE)
    assert running(step, rows) in planned(policy, precision, rows)


@pytest.mark.parametrize("shape", ["A", "B"])
@pytest.mark.parametrize("kernels", ["wgmma", "mma"])
def test_large_batches_on_either_matrix_unit(shape, kernels, precision, monkeypatch):
    require_132_multiprocessors()
    policy = quantised_copy(make_shape(shape).policy, precision)
    step = NativePolicyStep(policy, precision, DEVICE)
    inputs = make_inputs(policy, 8193)
    monkeypatch.setenv("ZPRL_CUDA_KERNEL", kernels)
    try:
        expected = planned(policy, precision, 8193, kernels)
    except ValueError as error:  # operands of 64 rows have no room: the planner says so, here and there
        with pytest.raises((RuntimeError, ValueError), match="ZPRL_CUDA_KERNEL=wgmma leaves no kernel") as refusal:
            step.act(*on_gpu(inputs))
        assert str(error) in str(refusal.value)
        return
    assert {running(step, 8193)} == expected
    check(policy, precision, inputs, step.act(*on_gpu(inputs)))


def in_normalised_units(policy):
    """A copy whose chunks are those that the rules are about."""
    policy.action_normalizer.mean.zero_()
    policy.action_normalizer.std.fill_(1.0)
    return policy


SMALLEST, *USUAL = sorted(SHAPES, key=lambda settings: settings.get("velocity_hidden_dim", 256) != 3)


@pytest.mark.parametrize("settings", USUAL, ids=range(len(USUAL)))
@pytest.mark.parametrize("rows", [1, 9, 65, 300])
def test_odd_shapes(settings, rows, precision):
    policy = in_normalised_units(quantised_copy(make_policy(**settings), precision))
    check(policy, precision, make_inputs(policy, rows))


@pytest.mark.parametrize("rows", [1, 300])
def test_the_smallest_shape(rows, precision):
    """One number in, one out: layer norms of three numbers amplify rounding without bound, so limits are generous."""
    policy = in_normalised_units(make_policy(**SMALLEST))
    inputs = make_inputs(policy, rows)
    chunk = NativePolicyStep(policy, precision, DEVICE).act(*on_gpu(inputs))
    errors = measure_errors(chunk, double_copy(policy).act(*(x.double() for x in inputs)))
    limit = {"float32": 1e-4, "tf32": 0.05, "bfloat16": 0.25}[precision]
    assert errors.rms < limit, errors


@pytest.mark.parametrize("horizon_and_action", [(7, 8), (14, 7), (16, 14)])  # chunks of 56, 98 and 224 numbers
@pytest.mark.parametrize("hidden", [256, 512])
def test_wider_chunks_and_networks(horizon_and_action, hidden, precision):
    horizon, action = horizon_and_action
    policy = make_policy(obs=37, action=action, horizon=horizon, velocity_hidden_dim=hidden, velocity_num_blocks=4)
    policy = in_normalised_units(quantised_copy(policy, precision))
    for rows in (1, 8, 129):
        check(policy, precision, make_inputs(policy, rows))


@pytest.mark.parametrize("solver", SOLVER_NAMES)
@pytest.mark.parametrize("steps", [1, 4, 16])
def test_solvers(solver, steps, precision):
    policy = quantised_copy(make_shape("A", solver, steps).policy, precision)
    check(policy, precision, make_inputs(policy, 33))


def test_errors_do_not_grow_with_the_number_of_steps():
    """As they would if the integration's state were rounded to bfloat16."""
    rms = {}
    for steps in (1, 16):
        policy = quantised_copy(make_shape("A", "euler", steps).policy, "bfloat16")
        rms[steps] = check(policy, "bfloat16", make_inputs(policy, 256)).rms
    assert rms[16] < 1.5 * rms[1], rms


def test_encode_and_integrate(policies, precision):
    policy, step = policies(precision)
    obs, _, noise = make_inputs(policy, 70)
    truth = double_copy(policy)
    for ours, expected in zip(step.encode(obs.to(DEVICE)), truth.encode(obs.double()), strict=True):
        assert measure_errors(ours, expected).max < 1e-5  # float32 in every precision
    condition = torch.randn(70, policy.cfg.embed_dim, generator=torch.Generator().manual_seed(3))
    expected = truth.integrate(condition.double(), noise.double())
    errors = measure_errors(step.integrate(condition.to(DEVICE), noise.to(DEVICE)), expected)
    assert errors.broken_rules(precision) == [], errors


@pytest.mark.parametrize("rows", [1, 8, 65, 300])
@pytest.mark.parametrize("kernel", ["tile", "mma", "cluster"])
def test_the_two_halves_are_the_whole_bit_by_bit(policies, precision, rows, kernel, monkeypatch):
    monkeypatch.setenv("ZPRL_CUDA_KERNEL", kernel)
    policy, step = policies(precision)
    obs, residual, noise = on_gpu(make_inputs(policy, rows))
    z = torch.ops.zprl.latent(obs, step.blob, policy.cfg.latent_dim, step.header)
    assert z.dtype == torch.float32 and torch.equal(z, step.encode(obs)[0])
    chunk = torch.ops.zprl.act(z + residual, noise, step.blob, step.header)
    assert torch.equal(chunk, step.act(obs, residual, noise))


def test_a_flow_runs_behind_an_encoder_that_is_not_native(policies, precision):
    policy, step = policies(precision)
    _, residual, noise = on_gpu(make_inputs(policy, 70))
    condition = torch.randn(70, policy.cfg.embed_dim, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    chunk = torch.ops.zprl.act_from_condition(condition, noise, step.blob, step.header)
    expected = policy.action_normalizer.inverse(step.integrate(condition, noise).cpu())
    torch.testing.assert_close(chunk.cpu(), expected.clamp(policy.action_low, policy.action_high), atol=1e-6, rtol=1e-6)
    for has_bottleneck in (True, False):
        part = copy.deepcopy(policy)
        part.embedding = torch.nn.Identity()
        if not has_bottleneck:
            part.bottleneck = None
        blob = torch.ops.zprl.pack_for_cuda(pack_policy(part, whole=False), precision)
        blob, header = blob.to(DEVICE), blob[:256].view(torch.int32).tolist()
        assert torch.equal(torch.ops.zprl.act_from_condition(condition, noise, blob, header), chunk)
        if has_bottleneck:
            rest = torch.ops.zprl.act(residual, noise, blob, header)
            assert torch.equal(rest, torch.ops.zprl.act(residual, noise, step.blob, step.header))
        else:
            with pytest.raises((RuntimeError, ValueError), match="has no bottleneck: give it a condition"):
                torch.ops.zprl.act(residual, noise, blob, header)
        with pytest.raises((RuntimeError, ValueError), match="this policy has no"):
            torch.ops.zprl.latent(torch.zeros(2, policy.obs_dim, device=DEVICE), blob, 16, header)


def test_sampled_latents_are_those_of_the_cpu(policies):
    policy, step = policies("float32")
    obs, residual, noise = make_inputs(policy, 40)
    seeds = torch.arange(40) * 2**33 - 5
    expected = NativePolicyStep(policy).act_sampled(obs, seeds, residual, noise)
    chunk = step.act_sampled(obs.to(DEVICE), seeds.to(DEVICE), residual.to(DEVICE), noise.to(DEVICE))
    assert measure_errors(chunk, expected.double()).max < 2e-5
    assert measure_errors(chunk, step.act(*on_gpu((obs, residual, noise))).cpu().double()).max > 1e-3


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("rows", [1, 9, 300])
def test_a_steered_policy_steps_as_on_the_cpu(rows, output, monkeypatch):
    policy = make_policy()
    obs, residual, noise = make_inputs(policy, rows)
    sees, latent = policy.obs_dim + policy.cfg.latent_dim, policy.cfg.latent_dim
    torch.manual_seed(0)
    layers = (torch.nn.Linear(sees, 48), torch.nn.Linear(48, latent))
    actor = PackedActor(torch.randn(sees), torch.ones(sees), layers, torch.nn.ELU, 0.8, output)
    blob = pack_policy(policy, actor=actor)
    packed = torch.ops.zprl.pack_for_cuda(blob, "float32")
    header = packed[:256].view(torch.int32).tolist()
    expected = torch.ops.zprl.policy_step(obs, residual, noise, blob)
    assert measure_errors(expected, NativePolicyStep(policy).act(obs, residual, noise).double()).max > 1e-3
    for kernel in ("tile", "cluster"):
        monkeypatch.setenv("ZPRL_CUDA_KERNEL", kernel)
        chunk = torch.ops.zprl.policy_step(*on_gpu((obs, residual, noise, packed)), header)
        assert measure_errors(chunk, expected.double()).max < 2e-5


def test_limits_defaults_and_the_choice_of_the_backend(capfd):
    policy = make_policy(initial_noise="fixed").to(DEVICE)
    policy.set_action_limits(torch.full((7,), -0.2), torch.tensor([0.1] * 6 + [torch.inf]))
    obs, residual, _ = on_gpu(make_inputs(policy, 5))
    step = make_policy_step(policy, device=DEVICE)
    assert (step.backend, capfd.readouterr().err) == ("native", "")
    torch.testing.assert_close(step.act(obs), policy.act(obs), atol=2e-5, rtol=0.0)
    torch.testing.assert_close(step.act(obs, residual), policy.act(obs, residual), atol=2e-5, rtol=0.0)
    assert step.act(obs).min() == torch.tensor(-0.2, device=DEVICE)


# -- the same bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 8, 65, 1000, 8193])
def test_runs_and_replays_are_the_same_to_the_last_bit(policies, precision, rows):
    policy, step = policies(precision)
    inputs = on_gpu(make_inputs(policy, rows))
    first = step.act(*inputs)
    for _ in range(5):
        assert torch.equal(step.act(*inputs), first)
    static = tuple(torch.empty_like(x) for x in inputs)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chunk = step.act(*static)
    for target, source in zip(static, inputs, strict=True):
        target.copy_(source)
    for _ in range(3):
        chunk.fill_(torch.nan)
        graph.replay()
        assert torch.equal(chunk, first)


@pytest.mark.parametrize("rows", [9, 130, 1000])
def test_a_row_depends_on_neither_its_neighbours_nor_its_place(policies, precision, rows):
    policy, step = policies(precision)
    inputs = on_gpu(make_inputs(policy, rows))
    expected = step.act(*inputs)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    assert torch.equal(step.act(*(x[order] for x in inputs)), expected[order])
    obs = inputs[0].clone()
    obs[4] = torch.nan
    obs[5] = 1e30
    chunk = step.act(obs, *inputs[1:])
    others = torch.tensor([i for i in range(rows) if i not in (4, 5)], device=DEVICE)
    assert torch.equal(chunk[others], expected[others])
    assert chunk[4].isnan().all()


def test_empty_batches_and_strided_inputs(policies):
    policy, step = policies("float32")
    assert step.act(*on_gpu(make_inputs(policy, 0))).shape == (0, *policy.chunk_shape)
    assert step.encode(torch.empty(0, policy.obs_dim, device=DEVICE))[0].shape == (0, policy.cfg.latent_dim)
    inputs = on_gpu(make_inputs(policy, 6))
    strided = tuple(torch.stack([x, x], dim=-1)[..., 0] for x in inputs)
    assert torch.equal(step.act(*strided), step.act(*inputs))
    shifted = tuple(torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape) for x in inputs)
    assert all(x.data_ptr() % 16 == 4 and x.is_contiguous() for x in shifted)
    assert torch.equal(step.act(*shifted), step.act(*inputs))


# -- streams and devices -----------------------------------------------------------------------------------------------


def test_work_goes_to_the_callers_stream(policies):
    policy, step = policies("float32")
    inputs = on_gpu(make_inputs(policy, 65))
    expected = step.act(*inputs)
    torch.cuda.synchronize()
    late = tuple(torch.full_like(x, torch.nan) for x in inputs)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # the inputs arrive some 50 ms from now
        for target, source in zip(late, inputs, strict=True):
            target.copy_(source)
        chunk = step.act(*late)
        assert not stream.query(), "the call waited for the GPU"
    stream.synchronize()
    assert torch.equal(chunk, expected)


def test_calls_do_not_make_the_host_wait(policies, precision):
    policy, step = policies(precision)
    inputs = on_gpu(make_inputs(policy, 65))
    seeds = torch.arange(65, device=DEVICE)
    condition = torch.zeros(65, policy.cfg.embed_dim, device=DEVICE)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step.act(*inputs)
        step.act(inputs[0])
        step.act_sampled(inputs[0], seeds)
        step.encode(inputs[0])
        step.integrate(condition, inputs[2])
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_another_device_than_the_current_one(policies):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    policy, step = policies("float32")
    inputs = make_inputs(policy, 65)
    expected = step.act(*on_gpu(inputs)).cpu()
    other = NativePolicyStep(policy, device="cuda:1")
    chunk = other.act(*(x.to("cuda:1") for x in inputs))
    assert torch.cuda.current_device() == 0
    assert chunk.device == torch.device("cuda:1")
    assert measure_errors(chunk, expected.double()).max < 1e-5
