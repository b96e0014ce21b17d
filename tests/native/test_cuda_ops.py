# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the GPU operators' layer does before a GPU is needed: packing, refusals and the choice of the backend."""

import os
import subprocess
import sys

import pytest
import torch
from tests.native.test_policy_step import make_inputs, make_policy

from zprl.policies import NativePolicyStep, make_policy_step
from zprl.policies.native import library as native
from zprl.policies.native.blob import PackedActor, pack_policy
from zprl.policies.native.step import PRECISIONS
from zprl.utils.errors import ZprlError

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")
native.load_torch_library()

BUILT = _core.build_info()["cuda"]
with_cuda = pytest.mark.skipif(BUILT is None, reason="this build has no CUDA kernels (see zprl.build_info())")
without_cuda = pytest.mark.skipif(BUILT is not None, reason="this build has CUDA kernels")


@without_cuda
def test_a_build_without_cuda_says_so():
    blob = pack_policy(make_policy())
    with pytest.raises((RuntimeError, ValueError), match=r"no CUDA kernels.*ZPRL_CUDA=ON"):
        torch.ops.zprl.pack_for_cuda(blob, "float32")


@with_cuda
@pytest.mark.parametrize("precision", PRECISIONS)
def test_packed_weights_have_a_header_of_their_own_and_their_size(precision):
    policy = make_policy()
    packed = torch.ops.zprl.pack_for_cuda(pack_policy(policy), precision)
    header = packed[:256].view(torch.int32).tolist()
    assert packed.dtype == torch.uint8 and packed.device.type == "cpu"
    assert packed.numel() in header
    core = sum(value.numel() for name, value in policy.velocity_field.named_parameters() if "time_mlp" not in name)
    assert packed.numel() > core * (2 if precision == "bfloat16" else 4)
    again = torch.ops.zprl.pack_for_cuda(pack_policy(make_policy()), precision)
    assert torch.equal(packed, again)


@with_cuda
def test_wrong_packing_ends_in_a_sentence():
    blob = pack_policy(make_policy())
    for arguments, message in (
        ((blob, "float16"), "float16"),
        ((blob[:-64], "float32"), "truncated or damaged"),
        ((blob.float(), "float32"), "blob must have the dtype uint8"),
        ((blob.to("meta"), "float32"), "blob"),
        ((None, "float32"), "blob must be a tensor, not None"),
        ((torch.ops.zprl.pack_for_cuda(blob, "float32"), "float32"), "ZPRL"),  # packed already
    ):
        with pytest.raises((RuntimeError, ValueError), match=message):
            torch.ops.zprl.pack_for_cuda(*arguments)
    blob[256:].view(torch.float32)[5000] = float("nan")
    with pytest.raises((RuntimeError, ValueError), match="not a finite number"):
        torch.ops.zprl.pack_for_cuda(blob, "float32")


@with_cuda
def test_an_actor_is_packed_with_the_policy():
    policy = make_policy()
    sees, latent = policy.obs_dim + policy.cfg.latent_dim, policy.cfg.latent_dim
    actor = PackedActor(torch.zeros(sees), torch.ones(sees), (torch.nn.Linear(sees, latent),), torch.nn.ELU, 0.5)
    steered = torch.ops.zprl.pack_for_cuda(pack_policy(policy, actor=actor), "float32")
    plain = torch.ops.zprl.pack_for_cuda(pack_policy(policy), "float32")
    assert steered.numel() > plain.numel() + 4 * sees * latent


@with_cuda
def test_the_cpu_refuses_a_blob_for_the_gpu():
    policy = make_policy()
    packed = torch.ops.zprl.pack_for_cuda(pack_policy(policy), "float32")
    with pytest.raises((RuntimeError, ValueError), match="packed for a GPU and lies on the CPU"):
        torch.ops.zprl.policy_step(*make_inputs(policy, 2), packed)


def test_tf32_is_refused_on_the_cpu_in_one_sentence(capsys):
    policy = make_policy(backend="native_tf32")
    with pytest.raises(ZprlError, match="GPUs only"):
        make_policy_step(policy, "native_tf32")
    assert make_policy_step(policy, device="cpu").backend == "torch"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "GPUs only" in lines[0]
    with pytest.raises(ZprlError, match="unknown precision 'float16'"):
        NativePolicyStep(policy, "float16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_policy_runs_on_torch_and_one_line_says_why(capsys):
    policy = make_policy()
    with pytest.raises(ZprlError, match="cuda"):
        NativePolicyStep(policy, device="cuda")
    assert make_policy_step(policy, device="cuda:0").backend == "torch"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "cuda:0" in lines[0]


def test_the_library_needs_neither_a_driver_nor_a_toolkit():
    """Only what torch itself brings is loaded: no libcuda, libcudart or libcublas on the library's own account."""
    readelf = subprocess.run(
        ["readelf", "-d", native.torch_library_path()], capture_output=True, text=True, check=False
    )
    if readelf.returncode != 0:
        pytest.skip("readelf is missing")
    needed = [line.split("[")[1].split("]")[0] for line in readelf.stdout.splitlines() if "(NEEDED)" in line]
    assert "libtorch_cpu.so" in needed
    assert not [name for name in needed if "cuda" in name or "cublas" in name]


def test_the_operators_load_where_no_gpu_is_visible():
    module = "from zprl.policies.native import library"
    script = f"{module}; library.load_torch_library(); print(library.build_info()['torch_library'])"
    env = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=False)
    assert result.stdout.strip() == "ok", result.stderr
