# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The operators on a GPU inside torch: its own checks, its program formats, and wrong arguments."""

import os
import subprocess
import sys

import pytest
import torch
from tests.native.test_policy_step import Deployed, make_inputs, make_policy

from zprl.policies import NativePolicyStep, make_policy_step
from zprl.policies.native import library as native
from zprl.policies.native.blob import pack_policy
from zprl.utils.errors import ZprlError

DEVICE = "cuda:0"


def make(rows=3):
    policy = make_policy()
    step = NativePolicyStep(policy, "float32", DEVICE)
    return step, tuple(x.to(DEVICE) for x in make_inputs(policy, rows))


def test_operators_pass_torchs_own_checks():
    step, (obs, residual, noise) = make()
    blob, header, ops = step.blob, step.header, torch.ops.zprl
    torch.library.opcheck(ops.policy_step.default, (obs, residual, noise, blob, header))
    torch.library.opcheck(ops.encode.default, (obs, blob, 16, header))
    torch.library.opcheck(ops.integrate.default, (torch.randn(3, 64, device=DEVICE), noise, blob, header))
    seeds = torch.arange(3, device=DEVICE)
    torch.library.opcheck(ops.sampled_policy_step.default, (obs, residual, noise, seeds, blob, header))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["script", "export"])
def test_a_saved_program_runs_in_another_process_without_the_package(kind, tmp_path):
    step, inputs = make()
    module = Deployed(step.blob.cpu(), step.header).to(DEVICE)  # the header stays on the host
    assert torch.equal(module(*inputs), step.act(*inputs))
    if kind == "script":
        torch.jit.script(module).save(str(tmp_path / "program"))
        load = "torch.jit.load('program')"
    else:
        rows = torch.export.Dim("rows", min=1, max=1024)
        program = torch.export.export(module, inputs, dynamic_shapes=[{0: rows}] * 3)
        torch.export.save(program, tmp_path / "program.pt2")
        load = "torch.export.load('program.pt2').module()"
    torch.save((inputs, module(*inputs)), tmp_path / "data.pt")
    script = (
        f"import torch; torch.ops.load_library({str(native.torch_library_path())!r}); "
        "inputs, expected = torch.load('data.pt'); "
        f"assert torch.equal({load}(*inputs), expected); import sys; assert 'zprl' not in sys.modules; print('same')"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False
    )
    assert result.stdout.strip() == "same", result.stderr


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_torch_compile(mode):
    step, inputs = make(9)
    module = Deployed(step.blob, step.header)
    compiled = torch.compile(module, fullgraph=True, mode=mode)
    for _ in range(3):  # the second call captures a graph, the third one replays it
        assert torch.equal(compiled(*inputs), step.act(*inputs))


# -- wrong arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (0, lambda x: x.double(), "obs must have the dtype float32"),
        (0, lambda x: x[:, :-1], r"obs must have the shape \(3, 40\), got \(3, 39\)"),
        (0, lambda x: x[0], "obs must have two dimensions"),
        (0, lambda x: x.cpu(), "obs must be on cuda:0, where the blob is"),
        (1, lambda x: x.cpu(), "residual must be on cuda:0"),
        (2, lambda x: x.flatten(1), "noise must have the shape"),
        (2, lambda x: x.to_sparse(), "noise must be a dense tensor"),
        (2, lambda x: None, "noise must be a tensor, not None"),
        (3, lambda x: x.cpu(), "packed for a GPU and lies on the CPU"),
        (3, lambda x: x.float(), "blob must have the dtype uint8"),
        (3, lambda x: x[:-16], "zprl|ZPRL"),
        (3, lambda x: torch.cat([x[:1], x])[1:], "blob must begin at a multiple of 16 bytes"),
        (4, lambda x: [], "header must be the blob's first 64 numbers"),
        (4, lambda x: x[:-1], "header must be the blob's first 64 numbers"),
        (4, lambda x: [2**40, *x[1:]], "no 32-bit number"),
        (4, lambda x: [0] * 64, "zprl|ZPRL"),
        (4, lambda x: pack_policy(make_policy())[:256].view(torch.int32).tolist(), "zprl|ZPRL"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(index, change, message):
    step, inputs = make()
    arguments = [*inputs, step.blob, step.header]
    arguments[index] = change(arguments[index])
    with pytest.raises((RuntimeError, ValueError), match=message):
        torch.ops.zprl.policy_step(*arguments)
    torch.ops.zprl.policy_step(*inputs, step.blob, step.header)  # the context has survived
    torch.cuda.synchronize()


def test_a_latent_width_that_is_not_the_policys_is_refused():
    step, inputs = make()
    with pytest.raises((RuntimeError, ValueError), match="latent has 16 dimensions"):
        torch.ops.zprl.encode(inputs[0], step.blob, 15, step.header)


def test_what_the_gpu_cannot_run_goes_to_torch_with_one_line(capfd, monkeypatch):
    policy = make_policy().to(DEVICE)
    monkeypatch.setattr(
        "zprl.policies.native.step.pack_policy", lambda policy, dtype, whole: torch.zeros(999, dtype=torch.uint8)
    )
    with pytest.raises(ZprlError, match=r"does not run on cuda:0"):
        NativePolicyStep(policy, device=DEVICE)
    assert make_policy_step(policy, device=DEVICE) is policy
    assert len(capfd.readouterr().err.splitlines()) == 1
