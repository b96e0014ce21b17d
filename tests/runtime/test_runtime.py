# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The C++ runtime without torch and Python: replay, timing, damaged bundles, and its installation."""

import copy
import dataclasses
import io
import json
import os
import re
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.builds import ROOT, find_tool, run
from tests.runtime.support import (
    ACTION,
    EXECUTE,
    OBS,
    SCALE,
    assert_refused,
    change_recording,
    edit,
    make_models,
    record,
    seal,
    write_bundle,
)


def test_the_programs_need_neither_torch_nor_python(zprl_run):
    needed = run("ldd", zprl_run).stdout
    assert "libstdc++" in needed
    assert "torch" not in needed
    assert "python" not in needed


def test_replay(zprl_run, intact_bundle):
    result = run(zprl_run, "--bundle", intact_bundle, "--golden")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert "native: 54 steps and 15 plans of 3 episodes" in result.stdout
    assert ", 0 plans at other steps\npassed" in result.stdout


def test_replay_of_a_squashed_actor(zprl_run, tmp_path):
    from zprl.rl.actor import pack_actor

    squashed = {"class_name": "zprl.rl.distribution:SquashedGaussian", "last_layer_gain": 2.0}
    policy, actor, truth = make_models(squashed)
    packed, arrays = pack_actor(actor, SCALE), record(truth)
    write_bundle(tmp_path, policy, packed, arrays)
    result = run(zprl_run, "--bundle", tmp_path, "--golden")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    write_bundle(tmp_path, policy, dataclasses.replace(packed, output="clamp"), arrays)
    assert run(zprl_run, "--bundle", tmp_path, "--golden").returncode == 1


def test_replay_of_a_unet(zprl_run, tmp_path):
    from zprl.rl.actor import pack_actor

    unet = "zprl.policies.flow.unet:UNetVelocityField"
    policy, actor, truth = make_models(velocity_field_class=unet, unet_channels=(8, 12), unet_groups=4)
    write_bundle(tmp_path, policy, pack_actor(actor, SCALE), record(truth))
    result = run(zprl_run, "--bundle", tmp_path, "--golden")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout


def test_replay_of_two_state_groups(zprl_run, bundle):
    """They are side by side what one group is."""

    def split(contract):
        (group,) = contract["observation"]["groups"]
        joints, thing = group["features"]
        contract["observation"]["groups"] = [
            {**group, "name": "joints", "shape": [2], "features": [joints]},
            {**group, "name": "the thing", "shape": [4], "features": [{**thing, "start": 0}]},
        ]

    def split_recording(arrays):
        obs = arrays.pop("obs")
        arrays.update({"obs.joints": obs[:, :2], "obs.the thing": obs[:, 2:]})

    edit(bundle, split)
    change_recording(bundle, split_recording)
    result = run(zprl_run, "--bundle", bundle, "--golden")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    change_recording(bundle, lambda arrays: arrays.update({"obs.the thing": arrays["obs.the thing"][:-1]}))
    refused = run(zprl_run, "--bundle", bundle, "--golden")
    assert_refused(refused, "golden.npz is not a recording of this policy: its array obs.the thing has another shape")


@pytest.mark.parametrize(("array", "index"), [("chunk", (14, 7, 2)), ("action", (53, 1))])
def test_replay_of_something_else_fails(zprl_run, bundle, recording, array, index):
    changed = {name: values.copy() for name, values in recording.items()}
    changed[array][index] += 2e-5
    np.savez(bundle / "golden.npz", **changed)
    seal(bundle)
    result = run(zprl_run, "--bundle", bundle, "--golden")
    assert result.returncode == 1
    assert "FAILED" in result.stdout


def test_replay_at_other_steps_fails(zprl_run, bundle):
    contract = json.loads((bundle / "contract.json").read_text())
    contract["control"]["execute_steps"] = 3
    seal(bundle, contract)
    result = run(zprl_run, "--bundle", bundle, "--golden")
    assert result.returncode == 1


@pytest.mark.parametrize("options", [(), ("--asynchronous", "--blend", "2")], ids=["synchronous", "asynchronous"])
def test_timing(zprl_run, intact_bundle, options):
    result = run(zprl_run, "--bundle", intact_bundle, "--bench", "--seconds", "0.3", "--rate", "500", *options)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert "step                         151" in result.stdout
    assert " 0 allocations in the loop" in result.stdout


# -- damaged bundles ---------------------------------------------------------------------------------------------------


def replace_text(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def damage_bytes(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


CAMERA = {"name": "camera", "start": 0, "size": 768, "elements": None, "units": None, "frame": None,
          "description": None, "minimum": None, "maximum": None, "mean": None, "std": None}  # fmt: skip
IMAGE = {"name": "camera", "kind": "image", "dtype": "uint8", "shape": [16, 16, 3], "history": 1, "features": [CAMERA]}

WIDE = {**IMAGE, "kind": "state", "dtype": "float32", "shape": [65530], "features": [{**CAMERA, "size": 65530}]}


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def declare_size(folder, size):
    """Let policy.zprl have a size, in the file system and in the contract, that it takes no space for."""
    os.truncate(folder / "policy.zprl", size)
    edit(folder, lambda c: c["files"]["policy.zprl"].update(size=size))


def write_overlapping(path, count=1000):
    """Write an archive whose entries all lie in the place of the first."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        array = io.BytesIO()
        np.save(array, np.zeros(100_000))
        archive.writestr("0.npy", array.getvalue())
        for i in range(1, count):
            info = zipfile.ZipInfo(f"{i}.npy")
            info.file_size = info.compress_size = len(array.getvalue())
            info.header_offset = info.CRC = 0
            archive.filelist.append(info)
    path.write_bytes(file.getvalue())


def write_twice(path):
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("obs.npy", archive.read("obs.npy"))


DAMAGES = {
    "no folder": (lambda f: shutil.rmtree(f), "there is no bundle"),
    "no contract": (
        lambda f: (f / "contract.json").unlink(),
        "contract.json, the contract of the bundle, cannot be read",
    ),
    "half a contract": (
        lambda f: (f / "contract.json").write_text((f / "contract.json").read_text()[:500]),
        "is not a valid contract: it is not JSON: ",
    ),
    "a contract without its checksum": (
        lambda f: (f / "contract.json").write_text(json.dumps(json.loads((f / "contract.json").read_text()))),
        "contract.json does not begin with its checksum",
    ),
    "an altered contract": (
        lambda f: replace_text(f / "contract.json", '"period": 0.02', '"period": 0.01'),
        "contract.json was altered: its checksum does not match",
    ),
    "a contract of version 1 with a checksum": (
        lambda f: (edit(f, to_version_1), edit(f, lambda c: c.update(sha256="0" * 64))),
        "contract.json does not begin with its checksum",
    ),
    "another format": (lambda f: edit(f, lambda c: c.update(format="x")), "its format is not zprl-bundle"),
    "another version": (lambda f: edit(f, lambda c: c.update(version=3)), "its version is not 1 or 2, which this"),
    "version 1 with groups": (lambda f: edit(f, lambda c: c.update(version=1)), "observation.size is missing"),
    "no groups": (lambda f: edit(f, lambda c: c["observation"].update(groups=[])), "observation.groups is empty"),
    "an image beside the state": (
        lambda f: edit(f, lambda c: c["observation"]["groups"].append(IMAGE)),
        "sees the image camera, and our core has no encoder of images; use the back end torch (zprl_run --backend",
    ),
    "an image alone": (
        lambda f: edit(f, lambda c: c["observation"].update(groups=[IMAGE])),
        "sees the image camera, and our core has no encoder of images",
    ),
    "an image of two dimensions": (
        lambda f: edit(f, lambda c: c["observation"]["groups"].append({**IMAGE, "shape": [16, 16]})),
        "observation group camera has not the shape of an image",
    ),
    "an image beyond the memory": (
        lambda f: edit(f, lambda c: c["observation"]["groups"].append({**IMAGE, "shape": [65536, 65536, 65536]})),
        "its images have more than 268435456 bytes",
    ),
    "a state beyond the memory": (
        lambda f: edit(f, lambda c: c["observation"]["groups"].extend({**WIDE, "name": f"{i}"} for i in range(2))),
        "its observation groups have more than 65536 elements",
    ),
    "a group twice": (
        lambda f: edit(f, lambda c: c["observation"]["groups"].append(c["observation"]["groups"][0])),
        "observation group policy comes twice",
    ),
    "a privileged group": (
        lambda f: edit(f, lambda c: c["observation"]["groups"][0].update(kind="privileged")),
        "reads the observation group policy (privileged), which no robot measures; run it in Python",
    ),
    "another kind": (
        lambda f: edit(f, lambda c: c["observation"]["groups"][0].update(kind="sound")),
        "observation group policy is of kind 'sound', not one of state, image, privileged",
    ),
    "another dtype": (
        lambda f: edit(f, lambda c: c["observation"]["groups"][0].update(dtype="uint8")),
        "observation group policy has the dtype 'uint8'",
    ),
    "another shape": (
        lambda f: edit(f, lambda c: c["observation"]["groups"][0].update(shape=[OBS, 1])),
        "observation group policy has not the shape of a vector",
    ),
    "no shape": (
        lambda f: edit(f, lambda c: c["observation"]["groups"][0].update(shape=[0])),
        "observation.groups[0].shape[0] is not a whole number",
    ),
    "no latent": (lambda f: edit(f, lambda c: c.update(latent=None)), "its latent width is 4"),
    "no period": (lambda f: edit(f, lambda c: c["control"].pop("period")), "control.period is missing"),
    "a gap": (
        lambda f: edit(f, lambda c: c["observation"]["groups"][0]["features"].pop(0)),
        "does not begin where the one before",
    ),
    "a limit": (lambda f: edit(f, lambda c: c["action"][0].update(low=1.0)), "a lower limit that is not below"),
    "a type": (lambda f: edit(f, lambda c: c["action"][0].update(low="1")), "action[0].low is not a number"),
    "a place": (
        lambda f: edit(f, lambda c: c["files"].update({"../x": c["files"]["policy.zprl"]})),
        "files names '../x', which is no file beside the contract",
    ),
    "another width": (
        lambda f: edit(f, lambda c: c["action"].pop()),
        "control.initial_noise.values[0] has 3 values instead of 2",
    ),
    "another lambda": (
        lambda f: edit(f, lambda c: c["latent"].update(residual_scale=0.5)),
        "does not belong to its contract: its residual scale is 0.7",
    ),
    "a base policy": (lambda f: edit(f, lambda c: c.update(policy="base")), "its number of actors is 1"),
    "no policy": (lambda f: (f / "policy.zprl").unlink(), "policy.zprl, a file of the bundle, cannot be read"),
    "a folder": (
        lambda f: ((f / "policy.zprl").unlink(), (f / "policy.zprl").mkdir()),
        "policy.zprl, a file of the bundle, is not a file",
    ),
    "a pipe as the contract": (lambda f: replace_by_pipe(f / "contract.json"), "bundle, is not a file; copy"),
    "a pipe as the policy": (lambda f: replace_by_pipe(f / "policy.zprl"), "policy.zprl, a file of the bundle, is not"),
    "a pipe as the recording": (
        lambda f: replace_by_pipe(f / "golden.npz"),
        "golden.npz, a file of the bundle, is not",
    ),
    "a terabyte of a contract": (
        lambda f: os.truncate(f / "contract.json", 1 << 40),
        "contract.json, the contract of the bundle, has 1099511627776 bytes, and at most 16777216 are read",
    ),
    "a terabyte of a policy": (
        lambda f: declare_size(f, 1 << 40),
        "policy.zprl, a file of the bundle, has 1099511627776 bytes, and at most 1073741824 are read",
    ),
    "a long name": (
        lambda f: edit(f, lambda c: c["action"][0].update(name="x" * 1000000)),
        "action[0].name is longer than 256 bytes",
    ),
    "a limit beyond single precision": (
        lambda f: edit(f, lambda c: c["action"][1].update(low=1e39, high=1e40)),
        "action[1].low is too large",
    ),
    "a hold beyond single precision": (
        lambda f: edit(f, lambda c: c["action"][1].update(hold=-1e39)),
        "action[1].hold is too large",
    ),
    "a negative change": (
        lambda f: edit(f, lambda c: c["action"][1].update(max_change=-1.0)),
        "action dy has a negative max_change",
    ),
    "half a policy": (
        lambda f: (f / "policy.zprl").write_bytes((f / "policy.zprl").read_bytes()[:1000]),
        "policy.zprl has 1000 bytes instead of ",
    ),
    "an altered policy": (lambda f: damage_bytes(f / "policy.zprl"), "policy.zprl was altered"),
    "an altered recording": (lambda f: damage_bytes(f / "golden.npz"), "golden.npz was altered"),
    "a policy that is none": (
        lambda f: ((f / "policy.zprl").write_bytes(b"x" * 1000), seal(f)),
        "it does not start with the letters ZPRL",
    ),
    "a compressed recording": (
        lambda f: (np.savez_compressed(f / "golden.npz", obs=np.zeros((3, OBS))), seal(f)),
        "it is compressed; write it with numpy.savez",
    ),
    "a recording of a thousand arrays in one place": (
        lambda f: (write_overlapping(f / "golden.npz"), seal(f)),
        "its arrays share bytes",
    ),
    "a recording with an array twice": (
        lambda f: (write_twice(f / "golden.npz"), seal(f)),
        "an array comes twice",
    ),
    "a narrow recording": (
        lambda f: (np.savez(f / "golden.npz", obs=np.zeros((3, OBS - 1), np.float32)), seal(f)),
        "its array obs has another shape",
    ),
    "a recording without actions": (
        lambda f: (np.savez(f / "golden.npz", obs=np.zeros((3, OBS)), episode=np.zeros(3)), seal(f)),
        "it has no array action",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_ends_in_a_sentence(zprl_run, bundle, name):
    damage, message = DAMAGES[name]
    damage(bundle)
    assert_refused(run(zprl_run, "--bundle", bundle, "--golden"), message)


@pytest.mark.parametrize("mode", ["--golden", "--bench"])
def test_an_empty_recording_ends_in_a_sentence(zprl_run, bundle, recording, mode):
    np.savez(bundle / "golden.npz", **{name: values[:0] for name, values in recording.items()})
    seal(bundle)
    assert_refused(run(zprl_run, "--bundle", bundle, mode), "golden.npz is not a recording of this policy: it is empty")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backend", "abacus"), "--backend is 'abacus'; choose native or torch."),
        (("--backend", "torch"), "holds no file of the kind portable"),
        (("--rate", "fast"), "--rate is 'fast'"),
    ],
)
def test_options_end_in_a_sentence(zprl_run, intact_bundle, options, message):
    assert_refused(run(zprl_run, "--bundle", intact_bundle, "--golden", *options), message)


def test_a_contract_of_version_1_is_that_of_version_2(zprl_run, intact_bundle, bundle):
    """Both readers take its vector for one state group."""
    from zprl.deploy.contract import read_contract

    edit(bundle, to_version_1)
    for folder in (intact_bundle, bundle):
        result = run(zprl_run, "--bundle", folder, "--golden")
        assert result.returncode == 0, result.stdout + result.stderr
    assert read_contract(bundle) == read_contract(intact_bundle)


def to_version_1(contract):
    (group,) = contract["observation"]["groups"]
    terms, size = group["features"], group["shape"][0]
    contract["observation"] = {"size": size, "range_source": "the recording", "terms": terms}
    contract["version"] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o["terms"].pop(0), "does not begin where the one before"),
        (lambda o: o.update(size=OBS + 1), "its observation terms have 6 elements instead of 7"),
        (lambda o: o.pop("size"), "observation.size is missing"),
    ],
)
def test_damage_to_a_contract_of_version_1_ends_in_a_sentence(zprl_run, bundle, change, message):
    edit(bundle, to_version_1)
    edit(bundle, lambda c: change(c["observation"]))
    assert_refused(run(zprl_run, "--bundle", bundle, "--golden"), message)


@pytest.mark.parametrize("missing", ["encoder", "bottleneck"])
def test_a_policy_that_does_not_start_at_an_observation_is_refused(zprl_run, bundle, models, missing):
    from torch import nn

    from zprl.policies.native.blob import pack_policy

    policy = copy.deepcopy(models[0])
    if missing == "encoder":
        policy.embedding = nn.Identity()
    else:
        policy.bottleneck = None  # type: ignore[assignment]
    (bundle / "policy.zprl").write_bytes(pack_policy(policy, whole=False).numpy().tobytes())
    edit(bundle, lambda c: c.update(policy="base"))
    seal(bundle)
    assert_refused(run(zprl_run, "--bundle", bundle, "--golden"), f"cannot run: zprl: this policy has no {missing}: ")


def test_python_reads_the_same_contract(intact_bundle):
    from zprl.deploy.contract import read_contract

    contract = read_contract(intact_bundle)
    assert (contract.state_group.size, contract.action_size, contract.control.execute_steps) == (OBS, ACTION, EXECUTE)


# -- installation ------------------------------------------------------------------------------------------------------


def test_the_documented_commands_build_install_and_use_the_package(release, intact_bundle, models, tmp_path):
    """Those of docs/deploy.md as they stand there, but on the build, the bundle and folders of this test."""
    (block,) = re.findall(r"```bash\n([^`]*cmake --install[^`]*)```", (ROOT / "docs" / "deploy.md").read_text())
    commands = block.replace('"$PWD/build/', f'"{tmp_path}/').replace("lift_bundle", str(intact_bundle))
    commands = commands.replace("build/robot", str(release)).replace("build/", f"{tmp_path}/")
    path = os.pathsep.join([str(Path(find_tool("cmake")).parent), os.environ["PATH"]])
    result = run("bash", "-ec", f"cd '{ROOT}'\n{commands}", PATH=path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\npassed\n" in result.stdout

    consumer = tmp_path / "consumer" / "consumer"
    result = run(consumer, intact_bundle)
    assert result.returncode == 0, result.stderr
    rows = np.array([[float(x) for x in line.split()] for line in result.stdout.splitlines()])
    chunk = models[2](np.zeros(OBS, np.float32))[0]
    assert rows[:, 0].tolist() == list(range(10))
    assert rows[:, 1].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    np.testing.assert_allclose(rows[:4, 2:], chunk[:4], atol=1e-5)
    # One step of blending, half and half.
    np.testing.assert_allclose(rows[4, 2:], 0.5 * (chunk[4] + chunk[0]), atol=1e-5)
    np.testing.assert_allclose(rows[5:8, 2:], chunk[1:4], atol=1e-5)

    assert run(consumer, tmp_path).returncode == 1
