# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The compiled U-Net against the torch module in double precision.

csrc/tests/core_shapes.cpp compares many more shapes, on every instruction set, with a reference of its own.
"""

from typing import Any

import numpy as np
import pytest
import torch

from zprl.policies import NativePolicyStep, make_policy_step
from zprl.policies.native import library as native
from zprl.policies.native.blob import pack_policy
from zprl.utils.errors import ZprlError

from .test_instruction_sets import errors, needs_bf16, rounded
from .test_policy_step import TOLERANCE, assert_exact, make_inputs, make_policy, truth

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")
native.load_torch_library()

UNET: dict[str, Any] = {"velocity_field_class": "zprl.policies.flow.unet:UNetVelocityField"}
SMALL = UNET | {"unet_channels": (16, 32), "num_flow_steps": 2}

SHAPES = [
    SMALL,
    SMALL | {"horizon": 16, "unet_channels": (64, 96), "unet_kernel_size": 3, "solver": "heun"},
    # Odd numbers of everything, and a horizon that three levels do not divide.
    SMALL | {"horizon": 5, "action": 3, "unet_channels": (40, 24, 17), "unet_groups": 1, "solver": "rk4"},
    SMALL | {"unet_channels": (130, 65), "unet_groups": 5, "unet_kernel_size": 7, "action": 65, "solver": "midpoint"},
    # One level, one position, one tap; and a level that adds its input as it is to what it makes of it.
    SMALL | {"horizon": 1, "execute_steps": 1, "unet_channels": (30,), "unet_groups": 1, "unet_kernel_size": 1},
    SMALL | {"unet_channels": (64, 32), "unet_groups": 2, "action": 64},
]

NETWORK_FIELD, KERNEL_FIELD, GROUPS_FIELD, LEVELS_FIELD, CHANNELS_FIELD = 45, 46, 47, 48, 49
"""Of the blob's header."""


@pytest.fixture(scope="module")
def policy():
    return make_policy(**SMALL)


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("settings", SHAPES, ids=range(len(SHAPES)))
def test_shapes(settings, rows):
    policy = make_policy(**settings)
    inputs = make_inputs(policy, rows)
    step = NativePolicyStep(policy)
    chunk = step.act(*inputs)
    assert_exact(chunk, truth(policy, *inputs)[0])
    ours = _core.Policy(step.blob.numpy()).act(*(x.numpy() for x in inputs))
    assert np.array_equal(ours, chunk)


@pytest.mark.parametrize("horizon", [8, 16])
def test_the_papers_network(horizon):
    policy = make_policy(**UNET, horizon=horizon, num_flow_steps=1)
    inputs = make_inputs(policy, 3)
    assert_exact(NativePolicyStep(policy).act(*inputs), truth(policy, *inputs)[0])


def test_a_row_depends_on_neither_its_neighbours_nor_the_threads(policy):
    inputs = make_inputs(policy, 67)
    blob, before = pack_policy(policy), torch.get_num_threads()
    results = [_core.Policy(blob.numpy(), threads).act(*(x.numpy() for x in inputs)) for threads in (1, 2, 5)]
    step = NativePolicyStep(policy)
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            together = step.act(*inputs)
            results.append(together.numpy())
            for first, last in ((0, 1), (5, 6), (66, 67), (3, 15), (13, 67)):
                assert torch.equal(step.act(*(x[first:last] for x in inputs)), together[first:last])
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(result, results[0]) for result in results)
    with pytest.raises(ValueError, match="threads must be between 1 and 1024"):
        _core.Policy(blob.numpy(), 0)


def test_nan_stays_in_its_row(policy):
    inputs = make_inputs(policy, 20)
    step = NativePolicyStep(policy)
    clean = step.act(*inputs)
    inputs[0][7, 3] = float("nan")
    chunk = step.act(*inputs)
    others = torch.arange(20) != 7
    assert chunk[7].isnan().all()
    assert torch.equal(chunk[others], clean[others])


@needs_bf16
@pytest.mark.parametrize("settings", SHAPES[:4], ids=range(4))
def test_bf16_accuracy(settings):
    policy = rounded(make_policy(**settings))
    step = NativePolicyStep(policy, "bfloat16")
    inputs = make_inputs(policy, 13)
    chunk = step.act(*inputs)
    largest, rms = errors(chunk, truth(policy, *inputs)[0])
    assert TOLERANCE < largest <= 3e-2
    assert rms <= 6e-3
    assert torch.equal(chunk, torch.cat([step.act(*(x[i : i + 1] for x in inputs)) for i in range(13)]))


def test_the_parts_of_a_step_are_timed(policy):
    profile = _core.Policy(pack_policy(policy).numpy()).profile(2, 3)
    assert list(profile) == ["encode", "decode", "modulate", "down", "middle", "up", "output", "solver", "chunk"]
    assert all(seconds > 0.0 for seconds in profile.values())


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (NETWORK_FIELD, 2, "its velocity field is number 2."),
        (NETWORK_FIELD, -1, "its velocity field is number -1."),
        (NETWORK_FIELD, 0, "the hidden width is 0."),
        (KERNEL_FIELD, 4, "the kernel size is even."),
        (KERNEL_FIELD, 0, "the kernel size is 0."),
        (KERNEL_FIELD, 2**30, "the kernel size is 1073741824."),
        (GROUPS_FIELD, 3, "a level's 16 channels do not make 3 groups."),
        (GROUPS_FIELD, 0, "the number of groups is 0."),
        (LEVELS_FIELD, 0, "the number of levels is 0."),
        (LEVELS_FIELD, 7, "the number of levels is 7."),
        (LEVELS_FIELD, 3, "a level's number of channels is 0."),
        (CHANNELS_FIELD, 24, "truncated or damaged."),
        (CHANNELS_FIELD + 1, -32, "a level's number of channels is -32."),
        (5, 1025, "the horizon is 1025."),
        (10, 64, "the hidden width is 64, of a part that is not there."),
    ],
)
def test_a_damaged_header_ends_in_a_sentence(policy, field, value, words):
    blob = pack_policy(policy).numpy().copy()
    assert blob.view(np.int32)[NETWORK_FIELD : CHANNELS_FIELD + 2].tolist() == [1, 5, 8, 2, 16, 32]
    blob.view(np.int32)[field] = value
    with pytest.raises(ValueError, match=f"^invalid ZPRL policy blob: .*{words}$"):
        _core.Policy(blob)


def test_weights_that_are_not_finite_are_found_wherever_they_are():
    policy = make_policy(**SMALL)
    inputs = make_inputs(policy, 2)
    clean = pack_policy(policy)
    packed = [p for name, p in policy.velocity_field.named_parameters() if "time_mlp" not in name]
    with torch.no_grad():
        for index, parameter in enumerate(packed):
            parameter.view(-1)[0] = 12345.0 + index
    marked = pack_policy(policy).view(torch.float32)
    for index in range(len(packed)):
        blob = clean.clone()
        (place,) = (marked == 12345.0 + index).nonzero()[0]
        blob.view(torch.float32)[place] = torch.nan
        with pytest.raises(ValueError, match="is not a finite number"):
            _core.Policy(blob.numpy())
        with pytest.raises((RuntimeError, ValueError), match="is not a finite number"):
            torch.ops.zprl.policy_step(*inputs, blob)


def test_a_blob_without_a_network_has_a_residual_mlp():
    policy = make_policy()
    inputs = [x.numpy() for x in make_inputs(policy, 3)]
    blob = pack_policy(policy).numpy()
    old = blob.copy()
    old.view(np.int32)[[1, NETWORK_FIELD]] = 5, 1  # version 5 did not know the field
    assert np.array_equal(_core.Policy(old).act(*inputs), _core.Policy(blob).act(*inputs))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"unet_channels": (8,) * 7}, "U-Nets of at most 6 levels"),
        ({"horizon": 1025}, "over at most 1024 control steps"),
    ],
)
def test_what_the_core_does_not_know_runs_on_torch(settings, words, capsys):
    policy = make_policy(**(SMALL | settings))
    assert make_policy_step(policy).backend == "torch"
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    with pytest.raises(ZprlError, match=words):
        make_policy_step(policy, "native")


def test_a_gpu_gets_no_unet(policy, capsys):
    blob = pack_policy(policy)
    with pytest.raises(ValueError, match="a GPU runs the residual MLP only, and this policy has a U-Net"):
        _core.estimate_cuda(blob.numpy(), "float32", 1)
    with pytest.raises((RuntimeError, ValueError), match=r"residual MLP only|this build has no CUDA kernels"):
        torch.ops.zprl.pack_for_cuda(blob, "float32")
    assert make_policy_step(policy, device="cuda").backend == "torch"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the policy runs on torch, not on the native backend: ")
