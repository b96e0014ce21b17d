# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The runtime's back end over LibTorch, that of the installed torch package, on the TorchScript files of a bundle."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.builds import build, run
from tests.runtime.support import SCALE, seal

from zprl.policies.native.library import torch_library_path

pytest.importorskip("zprl._core", reason="the native libraries are not built")


@pytest.fixture(scope="module")
def zprl_run_torch(tmp_path_factory):
    options = {
        "CMAKE_BUILD_TYPE": "Quick",
        "CMAKE_CXX_FLAGS_QUICK": "-O0",
        "ZPRL_TORCH_BACKEND": "ON",
        "ZPRL_AVX512": "OFF",  # LibTorch runs the policies
        "Python_EXECUTABLE": sys.executable,
    }
    return build(tmp_path_factory.mktemp("torch"), "zprl_run", **options) / "csrc" / "runtime" / "zprl_run"


@pytest.fixture(scope="module")
def torch_bundle(intact_bundle, models, tmp_path_factory):
    """The small bundle with its TorchScript files."""
    import torch

    from zprl.deploy.contract import read_contract
    from zprl.deploy.formats import write_torchscript
    from zprl.deploy.steered import NativeSteeredPolicy, PortableSteeredPolicy

    policy, actor, _ = models
    folder = Path(shutil.copytree(intact_bundle, tmp_path_factory.mktemp("bundle") / "bundle"))
    contract, example = read_contract(folder), [torch.randn(2, policy.obs_dim)]
    for name, kind in (("policy.pt", NativeSteeredPolicy), ("policy_portable.pt", PortableSteeredPolicy)):
        module = kind(policy, actor.as_jit(), SCALE)
        (folder / name).write_bytes(write_torchscript(module, example, contract))
    seal(folder)
    return folder


def test_replay_with_our_operators(zprl_run_torch, torch_bundle):
    command = (zprl_run_torch, "--bundle", torch_bundle, "--golden", "--backend", "torch")
    result = run(*command, "--torch-library", torch_library_path())
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert result.stdout.startswith("torch: 54 steps and 15 plans of 3 episodes")


def test_replay_without_our_operators(zprl_run_torch, torch_bundle):
    result = run(zprl_run_torch, "--bundle", torch_bundle, "--golden", "--backend", "torch")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert result.stdout.endswith("passed\n")


def test_timing(zprl_run_torch, torch_bundle):
    result = run(zprl_run_torch, "--bundle", torch_bundle, "--bench", "--seconds", "0.2", "--backend", "torch")
    assert (result.returncode, result.stderr) == (0, "")
    assert "torch, synchronous at 1000 Hz" in result.stdout


def test_a_library_that_is_none(zprl_run_torch, torch_bundle):
    command = (zprl_run_torch, "--bundle", torch_bundle, "--golden", "--backend", "torch")
    result = run(*command, "--torch-library", torch_bundle / "golden.npz")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "golden.npz does not load" in result.stderr
    pipe = torch_bundle.parent / "pipe"
    os.mkfifo(pipe)
    result = run(*command, "--torch-library", pipe)
    said = f"error: zprl: the operator library {pipe} is not a file; give the path of libzprl_torch.so."
    assert (result.returncode, result.stderr.splitlines()) == (2, [said])


def test_a_file_that_is_no_module(zprl_run_torch, torch_bundle, tmp_path):
    folder = Path(shutil.copytree(torch_bundle, tmp_path / "bundle"))
    (folder / "policy_portable.pt").write_bytes(b"nothing")
    seal(folder)
    result = run(zprl_run_torch, "--bundle", folder, "--golden", "--backend", "torch")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "policy_portable.pt does not load" in result.stderr
