# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The runtime's back end over LibTorch, that of the installed torch package, on the TorchScript files of a bundle."""

import io
import os
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.builds import build, run
from tests.runtime.support import SCALE, assert_refused, change_recording, edit, seal

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


# -- policies that see -------------------------------------------------------------------------------------------------


def run_seeing(program, folder, mode="--golden", *options):
    return run(program, "--bundle", folder, mode, "--backend", "torch", *options)


@pytest.fixture
def seeing(visual_bundle, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(visual_bundle, tmp_path / "bundle"))


def test_replay_of_a_policy_that_sees(zprl_run_torch, visual_bundle):
    """Of two state groups, colours as bytes, and depths over two steps, recorded where they were planned on."""
    result = run_seeing(zprl_run_torch, visual_bundle)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert result.stdout.startswith("torch: 276 steps and 156 plans of 36 episodes")
    assert ", 0 plans at other steps\npassed" in result.stdout


@pytest.mark.parametrize("image", ["obs.hand_camera", "obs.hand_depth"])
def test_replay_of_another_image_fails(zprl_run_torch, seeing, image):
    change_recording(seeing, lambda arrays: arrays.update({image: arrays[image][::-1]}))
    result = run_seeing(zprl_run_torch, seeing)
    assert result.returncode == 1
    assert "FAILED" in result.stdout


def test_timing_of_a_policy_that_sees(zprl_run_torch, visual_bundle):
    options = ("--seconds", "0.2", "--rate", "100", "--asynchronous")
    result = run_seeing(zprl_run_torch, visual_bundle, "--bench", *options)
    assert (result.returncode, result.stderr) == (0, "")
    assert "step                          21" in result.stdout
    assert "plan " in result.stdout


def replace_image(name, change):
    return lambda folder: change_recording(folder, lambda arrays: arrays.update({name: change(arrays[name])}))


def shorten_member(folder):
    """Let an image be shorter than it says: the archive, which is whole, holds half of the array."""
    with np.load(folder / "golden.npz") as file:
        arrays = dict(file)
    content = io.BytesIO()
    np.save(content, arrays.pop("obs.hand_camera"))
    np.savez(folder / "golden.npz", **arrays)
    with zipfile.ZipFile(folder / "golden.npz", "a") as archive:
        archive.writestr("obs.hand_camera.npy", content.getvalue()[: len(content.getvalue()) // 2])
    seal(folder)


def turn_camera(contract):
    for group in contract["observation"]["groups"]:
        if group["name"] == "hand_camera":
            group["shape"] = [12, 10, 1]


NOT_A_RECORDING = "golden.npz is not a recording of this policy: "
FAULTS = {
    "no portable file": (
        lambda f: edit(f, lambda c: c["files"].pop("policy_portable.pt")),
        "holds no file of the kind portable; export the policy again with --portable.",
    ),
    "no image": (
        lambda f: change_recording(f, lambda arrays: arrays.pop("obs.hand_camera")),
        NOT_A_RECORDING + "it has no array obs.hand_camera;",
    ),
    "smaller images": (
        replace_image("obs.hand_camera", lambda images: images[:, :6]),
        NOT_A_RECORDING + "its array obs.hand_camera has another shape",
    ),
    "depths without their history": (
        replace_image("obs.hand_depth", lambda images: images[:, 0]),
        NOT_A_RECORDING + "its array obs.hand_depth has another shape",
    ),
    "images of floats": (
        replace_image("obs.hand_camera", lambda images: images.astype(np.float32)),
        NOT_A_RECORDING + "its array obs.hand_camera is not of uint8",
    ),
    "depths in double precision": (
        replace_image("obs.hand_depth", lambda images: images.astype(np.float64)),
        NOT_A_RECORDING + "its array obs.hand_depth is not of float32",
    ),
    "half of an array": (shorten_member, NOT_A_RECORDING + "it is truncated"),
    "a plan beyond the end": (
        replace_image("plan_step", lambda steps: steps + 1000),
        NOT_A_RECORDING + "a plan has no step",
    ),
    "a module of other images": (
        lambda f: (edit(f, turn_camera), replace_image("obs.hand_camera", lambda images: images[..., :1])(f)),
        "policy_portable.pt does not fit its contract: ",
    ),
    "a module of fewer inputs": (
        lambda f: edit(f, lambda c: c["observation"]["groups"].append({**c["observation"]["groups"][0], "name": "x"})),
        "does not fit its contract: ",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_what_is_seen_end_in_a_sentence(zprl_run_torch, seeing, name):
    damage, message = FAULTS[name]
    damage(seeing)
    if name == "a module of fewer inputs":
        change_recording(seeing, lambda arrays: arrays.update({"obs.x": arrays["obs.arm"]}))
    assert_refused(run_seeing(zprl_run_torch, seeing), message)


def test_the_core_has_no_encoder(zprl_run_torch, visual_bundle):
    result = run(zprl_run_torch, "--bundle", visual_bundle, "--golden")
    assert_refused(result, "sees the image hand_camera, and our core has no encoder of images; use the back end torch")
