# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The profiler's parts: counts of work, the rivals' module, errors and rules, timing in turns."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from zprl.policies import FlowPolicyCfg
from zprl.policies.flow.cfg import SOLVER_NAMES
from zprl.policies.flow.hoisted import HoistedPolicy
from zprl.profiling.accuracy import double_copy, measure_errors, quantised_copy
from zprl.profiling.machine import parse_cpuinfo
from zprl.profiling.parts import ENCODER, FLOW, WHOLE, random_inputs
from zprl.profiling.shapes import count_work, make_shape, random_policy
from zprl.profiling.timing import Timing, choose_repetitions, take_turns


def small_policy(image_shapes=None, **settings):
    cfg = {"horizon": 4, "embed_dim": 12, "embed_hidden_dims": (10,), "vib_hidden_dims": (9, 8), "latent_dim": 3}
    cfg |= {"velocity_hidden_dim": 16, "velocity_num_blocks": 2, "num_flow_steps": 3}
    return random_policy(FlowPolicyCfg(**cfg | settings), obs_dim=7, action_dim=5, image_shapes=image_shapes)


# -- work --------------------------------------------------------------------------------------------------------------


def test_work_of_shape_a_by_hand():
    work = count_work(make_shape("A").policy)
    assert work.core_macs == 64 * 256 + 3 * 2 * 256 * 256 + 256 * 64 == 425_984
    assert work.encode_macs == 40 * 256 + 256 * 256 + 256 * 2 * 16
    assert work.condition_macs == 16 * 256 + 256 * 256 + 256 * 4 * 256
    assert work.macs == 4_675_584 and work.flops(3) == 6 * 4_675_584
    core_biases = 256 + 3 * 2 * 256 + 64
    assert work.core_bytes("float32") == 4 * (425_984 + core_biases)
    assert work.core_bytes("bfloat16") == 2 * 425_984 + 4 * core_biases
    # Biases of embedding, encoder, decoder and modulation; ten rows of the time table.
    once = 256 + 256 + 32 + 256 + 256 + 1024 + 10 * 12 * 256
    assert work.weight_bytes("float32") == 10 * work.core_bytes("float32") + 4 * (415_744 + once)
    assert work.weight_bytes("bfloat16") == 10 * work.core_bytes("bfloat16") + 2 * 415_744 + 4 * once


def test_work_of_shape_b_is_as_documented():
    assert count_work(make_shape("B").policy).macs == 24_883_200


def test_work_of_a_unet_by_hand():
    work = count_work(make_shape("U").policy)
    assert (work.core_macs, work.core_weights, work.macs) == (19_099_392, 10_393_728, 115_454_464)

    unet = {"velocity_field_class": "zprl.policies.flow.unet:UNetVelocityField", "unet_channels": (4,)}
    work = count_work(small_policy(**unet, unet_groups=2, horizon=2, execute_steps=1))
    # Each of 2 positions sees 2 of 5 taps, and one of them at least sees 3. A residual layer and the output have 1 tap.
    assert work.core_weights == 3 * (5 * 4 + 8 * 4 * 4) + 5 * 4 + 4 * 5
    assert work.core_macs == 2 * (2 * (5 * 4 + 8 * 4 * 4) + 5 * 4 + 4 * 5)
    assert work.core_vectors == 10 * 4 + 5 + 9 * 2 * 4


@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_work_agrees_with_torchs_counter(solver):
    policy = small_policy(solver=solver)
    module, inputs = HoistedPolicy(policy), random_inputs(policy, 6, 0)
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    assert counter.get_total_flops() == count_work(policy).flops(6)


def test_intensity_grows_with_the_batch_up_to_its_limit():
    work = count_work(small_policy())
    one, many, endless = (work.intensity(rows, "float32") for rows in (1, 64, 10**9))
    io_bytes = 4 * (7 + 3 + 2 * 4 * 5)
    assert one == pytest.approx(2 * work.macs / (work.weight_bytes("float32") + io_bytes))
    assert one < many < endless
    assert endless == pytest.approx(2 * work.macs / io_bytes, rel=1e-3)


# -- the rivals' module ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_hoisted_policy_equals_the_policy(solver):
    policy = small_policy(solver=solver).double()
    policy.set_normalizers(torch.randn(50, 7), torch.randn(50, 5) * 0.3)
    policy.set_action_limits(torch.full((5,), -0.25), torch.full((5,), 0.25))
    inputs = random_inputs(policy, 9, 1).to("cpu", torch.float64)
    expected = policy.act(*inputs)
    chunk = HoistedPolicy(policy)(*inputs)
    assert (expected == -0.25).any() and (expected.abs() < 0.25).any()
    torch.testing.assert_close(chunk, expected, atol=1e-13, rtol=0.0)


def test_random_policy_leaves_the_random_numbers_alone_and_repeats():
    torch.manual_seed(3)
    before = torch.rand(1)
    torch.manual_seed(3)
    first, second = small_policy(), small_policy()
    assert torch.rand(1) == before
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b) and a.count_nonzero() == a.numel()


# -- policies that see -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeing():
    embedding = "zprl.policies.flow.encoders:ImageEmbedding"
    return small_policy({"eye": (16, 16, 3)}, embedding_class=embedding, observation_groups=("policy", "eye"))


def test_the_parts_of_a_policy_that_sees_are_the_policy(seeing):
    assert [shape.part for shape in make_shape("V").parts()] == [ENCODER, FLOW]
    assert [shape.part for shape in make_shape("A").parts()] == [WHOLE]
    exact = copy.deepcopy(seeing).double()
    observed, started = ENCODER.draw(seeing, 3, 0), FLOW.draw(seeing, 3, 0)
    state, eye = observed.to("cpu", torch.float64)
    noise = started.to("cpu", torch.float64).tensors["noise"]
    latent = ENCODER.module(exact)(state, eye)
    torch.testing.assert_close(latent, exact.latent({"state": state, "eye": eye}), atol=0.0, rtol=0.0)
    chunk = exact.act({"state": state, "eye": eye}, noise=noise)
    for flow in (FLOW.module, FLOW.exact):
        torch.testing.assert_close(flow(exact)(latent, noise), chunk, atol=1e-13, rtol=0.0)


def test_work_of_a_policy_that_sees_is_that_of_its_parts(seeing):
    whole, encoder, flow = (count_work(seeing, part) for part in (WHOLE, ENCODER, FLOW))
    assert encoder.macs + flow.macs == whole.macs
    assert encoder.weight_bytes("float32") + flow.weight_bytes("float32") == whole.weight_bytes("float32")
    for part, work in ((ENCODER, encoder), (FLOW, flow)):
        module, inputs = part.module(seeing), part.draw(seeing, 6, 0)
        with FlopCounterMode(display=False) as counter:
            module(*inputs)
        assert counter.get_total_flops() == work.flops(6)


# -- errors and rules --------------------------------------------------------------------------------------------------


def test_errors_by_hand():
    truth = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]], dtype=torch.float64)  # RMS 2.5
    errors = measure_errors(truth + torch.tensor([[[0.0, 0.05], [0.0, 0.0]]]), truth)
    assert errors.max == pytest.approx(0.05 / 2.5, rel=1e-6)
    assert errors.rms == pytest.approx(0.025 / 2.5, rel=1e-6)
    assert errors.cosine == pytest.approx(1.0 - 5.0 / math.sqrt(25.0 + 0.05**2), rel=1e-4)
    assert measure_errors(2.0 * truth, truth).cosine < 1e-15
    assert measure_errors(-truth, truth).cosine == pytest.approx(2.0)
    with pytest.raises(ValueError, match="shape"):
        measure_errors(truth[0], truth)


@pytest.mark.parametrize(
    ("dtype", "error", "broken"),
    [
        ("float32", 0.9e-5, []),
        ("float32", 1.1e-5, ["max"]),
        ("float32", math.nan, ["max"]),
        ("float32", math.inf, ["max"]),
        ("bfloat16", 2.9e-2, []),
        ("bfloat16", 3.1e-2, ["max"]),
        ("bfloat16", math.nan, ["rms", "max", "cosine"]),
    ],
)
def test_rules_of_the_largest_error(dtype, error, broken):
    truth = torch.ones(100, 8, 8, dtype=torch.float64)
    result = truth.clone()
    result[3, 2, 1] += error
    assert measure_errors(result, truth).broken_rules(dtype) == broken


def test_rules_of_the_mean_error():
    truth = torch.ones(100, 8, 8, dtype=torch.float64)
    truth[:, ::2] *= -1.0
    assert measure_errors(1.0061 * truth, truth).broken_rules("bfloat16") == ["rms"]
    turned = truth + 0.0059 * torch.ones_like(truth)
    assert measure_errors(turned, truth).broken_rules("bfloat16") == []
    assert measure_errors(truth + 0.0065, truth).broken_rules("bfloat16") == ["rms", "cosine"]


def test_quantised_copy():
    policy = small_policy()
    rounded = quantised_copy(policy, "bfloat16")
    for name, value in rounded.named_parameters():
        original = policy.get_parameter(name)
        assert value.dtype == torch.float32 and not torch.equal(value, original)
        assert torch.equal(value, original.bfloat16().float())
    for name, value in rounded.named_buffers():
        assert torch.equal(value, policy.get_buffer(name))
    same = quantised_copy(policy, "float32")
    assert all(torch.equal(value, policy.get_parameter(name)) for name, value in same.named_parameters())
    assert double_copy(rounded).fixed_noise.dtype == torch.float64 and rounded.fixed_noise.dtype == torch.float32


# -- timing ------------------------------------------------------------------------------------------------------------


def test_percentiles():
    timing = Timing.of([0.001 * i for i in range(100, -1, -1)])  # 0, 1, ..., 100 ms: percentile p is p ms
    assert (timing.median, timing.p10, timing.p99, timing.repetitions) == pytest.approx((0.05, 0.01, 0.099, 101))
    seconds = np.random.default_rng(0).lognormal(size=37)
    timing = Timing.of(seconds.tolist())
    assert (timing.p10, timing.p99) == tuple(np.percentile(seconds, (10, 99)))
    assert timing.median == np.median(seconds)


@pytest.mark.parametrize(
    ("calls", "budget", "expected"),
    [
        ([0.02, 0.03], 10.0, 200),
        ([0.02, 0.03], 0.1, 20),
        ([0.001, 0.0015], 1.0, 200),  # called twice per round
        ([0.001, 0.2], 0.1, 5),
        ([1e-9], 10.0, 10_000),
    ],
)
def test_repetitions(calls, budget, expected):
    assert choose_repetitions(calls, budget) == expected


def test_contenders_take_turns():
    log = []
    samples = take_turns({"a": lambda: log.append("a"), "b": lambda: log.append("b")}, budget=0.0)
    # Three calls each to warm up; then each round calls each once untimed and once timed.
    assert "".join(log) == "aaabbb" + 20 * "aabb"
    assert len(samples["a"].seconds) == len(samples["b"].starts) == 20
    starts = [start for pair in zip(samples["a"].starts, samples["b"].starts, strict=True) for start in pair]
    assert starts == sorted(starts)
    assert take_turns({}, budget=1.0) == {}


def test_another_clock_may_time_the_calls():
    log = []

    def timed(call):
        log.append("<")
        call()
        log.append(">")
        return 7.0, 2e-3

    samples = take_turns({"a": lambda: log.append("a")}, 0.0, timed)
    assert "".join(log) == 3 * "<a>" + 20 * "a<a>"
    assert samples["a"].seconds == [2e-3] * 20 and samples["a"].starts == [7.0] * 20


# -- the machine -------------------------------------------------------------------------------------------------------


def test_cpuinfo():
    text = "processor\t: 0\nmodel name\t: A CPU @ 3 GHz: fast\nflags\t\t: fpu avx2 avx512_bf16\n\nmodel name : other\n"
    assert parse_cpuinfo(text) == ("A CPU @ 3 GHz: fast", {"fpu", "avx2", "avx512_bf16"})
    assert parse_cpuinfo("") == ("", set())
