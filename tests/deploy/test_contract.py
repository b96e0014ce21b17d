# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The contract: what is written is read back, and what does not fit is refused in one sentence."""

import copy
import dataclasses
import json
import math
import shutil

import pytest
from tests.deploy.conftest import make_contract

from zprl.deploy.contract import Contract, read_contract, read_verified, write_contract
from zprl.deploy.contract_parts import BundleFile, Observation, ObservationGroup, ObservationTerm
from zprl.deploy.describe import named_change
from zprl.envs.description import CameraDescription
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum


@pytest.fixture
def contract(source):
    return make_contract(source)


def test_round_trip(contract, tmp_path):
    write_contract(tmp_path, contract)
    assert read_contract(tmp_path) == contract


def without(path):
    def change(values):
        *groups, last = path.split(".")
        for group in groups:
            values = values[int(group) if group.isdigit() else group]
        del values[last]

    return change


def having(path, value):
    def change(values):
        *groups, last = path.split(".")
        for group in groups:
            values = values[int(group) if group.isdigit() else group]
        values[int(last) if last.isdigit() else last] = value

    return change


def camera_contract(contract):
    """A policy that sees a camera besides the state, and steers no latent."""
    image = ObservationTerm("camera", 0, 16 * 16 * 3, None, None, None, None, None, None, None, None)
    lens = CameraDescription(
        "rgb", 0.0, 255.0, 20.0, 20.0, 8.0, 8.0, "robot/hand", [0.0, 0.1, 0.2], [0.0, 0.0, 0.0, 1.0], "native"
    )
    group = ObservationGroup("camera", "image", "uint8", [16, 16, 3], 2, [image], lens)
    state = contract.observation.groups[0]
    height = ObservationTerm("height", 0, 1, ["z"], ["m"], None, None, [0.0], [1.0], None, None)
    hidden = ObservationGroup("critic", "privileged", "float32", [1], 1, [height])
    return dataclasses.replace(contract, observation=Observation(None, [state, group, hidden]), latent=None)


def test_a_camera_and_no_latent_make_the_round_trip(contract, tmp_path):
    write_contract(tmp_path, camera_contract(contract))
    read = read_contract(tmp_path)
    assert read == camera_contract(contract)
    assert [group.size for group in read.observation.groups] == [13, 768, 1]
    values = camera_contract(contract).to_dict()
    for group in values["observation"]["groups"]:
        del group["camera"]  # as before cameras were described
    assert Contract.from_dict(values).observation.groups[1].camera is None
    with pytest.raises(ZprlError, match=r"policy \(state\), camera \(image\), critic \(privileged\), and this runs"):
        _ = read.state_group


def to_version_1(values):
    (group,) = values["observation"]["groups"]
    observation = {"size": group["shape"][0], "range_source": values["observation"]["range_source"]}
    values["observation"] = observation | {"terms": group["features"]}
    values["version"] = 1
    return values


@pytest.mark.parametrize(
    ("seen", "low", "high", "named"),
    [
        (0.3, -1.0, 1.0, 0.3),
        (1e-4, -1.0, 1.0, 2.0 / 40),
        (0.0, -2.0, 6.0, 8.0 / 40),
        (1e-4, -1.0, math.inf, 1e-4),
        (0.0, -math.inf, math.inf, None),
    ],
)
def test_what_hardly_moved_in_training_may_still_cross_its_limits_in_40_steps(seen, low, high, named):
    assert named_change(seen, low, high) == (named and pytest.approx(named, rel=1e-12))


def test_version_1_is_read_as_one_state_group(contract):
    assert contract.state_group.name == "policy"
    assert Contract.from_dict(to_version_1(copy.deepcopy(contract.to_dict()))) == contract


def test_a_contract_of_version_1_has_no_checksum_of_its_own_and_one_of_version_2_does(contract, tmp_path):
    values = contract.to_dict()
    (tmp_path / "contract.json").write_text(json.dumps(values))
    with pytest.raises(ZprlError, match="does not begin with its checksum"):
        read_contract(tmp_path)
    values = to_version_1(copy.deepcopy(values))
    (tmp_path / "contract.json").write_text(json.dumps(values))
    assert read_contract(tmp_path) == contract
    (tmp_path / "contract.json").write_text(json.dumps({"sha256": "0" * 64, **values}))
    with pytest.raises(ZprlError, match="checksum"):
        read_contract(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("observation"), "lacks observation"),
        (without("observation.terms.1.std"), r"lacks observation.terms\[1\].std"),
        (having("observation.surprise", 1), "unknown observation.surprise"),
        (having("observation.size", 14), "13 elements instead of 14"),
        (having("observation", None), "observation is not a group of fields"),
        (without("latent"), "lacks latent"),
    ],
)
def test_a_contract_of_version_1_that_does_not_fit_is_refused(contract, change, words):
    values = to_version_1(copy.deepcopy(contract.to_dict()))
    change(values)
    with pytest.raises(ZprlError, match=words):
        Contract.from_dict(values, "contract.json")


def test_every_field_is_documented():
    """The classes are the format's documentation, so a field without a text under it is a hole in it."""
    import inspect

    from zprl.deploy import contract_parts

    parts = [kind for _, kind in inspect.getmembers(contract_parts, inspect.isclass) if dataclasses.is_dataclass(kind)]
    kinds = [Contract, *parts]
    assert len(kinds) > 8
    for kind in kinds:
        lines = inspect.getsource(kind).splitlines()
        for field in dataclasses.fields(kind):
            index = next(i for i, line in enumerate(lines) if line.startswith(f"    {field.name}:"))
            assert lines[index + 1].strip().startswith('"""'), f"{kind.__name__}.{field.name}"


FIXED_TOO_SHORT = {"rule": "fixed", "seed": None, "values": [[0.0] * 3] * 5}
LENS = {"content": "rgb", "minimum": 0, "maximum": 255, "fx": 1, "fy": 1, "cx": 1, "cy": 1, "renderer": "native"}
LENS |= {"body": None, "position": [0, 0, 0], "quaternion": [0, 0, 0, 1]}
EVIL = {"../evil": {"kind": "a", "needs": "", "precision": "", "tolerance": None, "size": 1, "sha256": ""}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (having("format", "other"), "is not the contract of a ZPRL bundle"),
        (having("version", 3), "has version 3, and this ZPRL reads versions 1 and 2"),
        (without("latent"), "lacks latent"),
        (without("control.horizon"), "lacks control.horizon"),
        (without("observation.groups.0.features.1.std"), r"lacks observation.groups\[0\].features\[1\].std"),
        (having("control.surprise", 1), "unknown control.surprise"),
        (having("control.horizon", 6.5), "control.horizon does not fit"),
        (having("control.horizon", True), "control.horizon does not fit"),
        (having("control.period", "0.05"), "control.period does not fit"),
        (having("control.period", float("nan")), "control.period does not fit"),
        (having("control.period", 0), "control.period is not positive"),
        (having("control.execute_steps", 7), "control.execute_steps"),
        (having("observation.groups.0.features.1.start", 3), "ee_pose does not begin where"),
        (having("observation.groups.0.shape", [14]), "13 elements instead of 14"),
        (having("observation.groups.0.features.0.mean", [0.0]), "joint_pos has 1 values in mean instead of 4"),
        (having("observation.groups.0.features.0.std", [1.0, 0.0, 1.0, 1.0]), "not positive"),
        (having("observation.groups.0.features.0.std", None), "either a mean or a standard deviation"),
        (having("observation.groups.0.camera", LENS), "observation group policy has a camera, and is no image"),
        (having("observation.groups", []), "groups is empty"),
        (lambda v: v["observation"]["groups"].append(v["observation"]["groups"][0]), "holds a name twice"),
        (having("observation.groups.0.kind", "sound"), "of kind 'sound', not one of state, privileged, image"),
        (having("observation.groups.0.dtype", "uint8"), "dtype 'uint8', which is none of its kind state"),
        (having("observation.groups.0.dtype", "float64"), "dtype 'float64'"),
        (having("observation.groups.0.shape", []), "a shape or a history that is not positive"),
        (having("observation.groups.0.history", 0), "a shape or a history that is not positive"),
        (having("observation.groups.0.shape", [13, 1]), "a shape of more than one number"),
        (having("observation.groups.0.kind", "image"), "is an image, and has not one feature without lists"),
        (having("observation.groups.0.features", []), "have 0 elements instead of 13"),
        (having("action", []), "no action"),
        (having("action.0.low", 1.0), "action dx has a lower limit"),
        (having("control.initial_noise.rule", "sampled"), "initial_noise"),
        (having("control.initial_noise.rule", "fixed"), "initial_noise"),
        (having("control.initial_noise", FIXED_TOO_SHORT), "shape of a chunk"),
        (having("latent.std", [1.0] * 4), "latent has not 5"),
        (having("policy", "other"), "neither steered nor base"),
        (having("files", EVIL), "no file beside the contract"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_contract_that_does_not_fit_is_refused(contract, change, words):
    values = copy.deepcopy(contract.to_dict())
    change(values)
    with pytest.raises(ZprlError, match=words):
        Contract.from_dict(values, "contract.json")


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_json_that_is_no_contract_is_refused(values):
    with pytest.raises(ZprlError, match="is not the contract"):
        Contract.from_dict(values)


def test_folders_that_are_no_bundle_are_refused(tmp_path, contract):
    with pytest.raises(ZprlError, match="there is no bundle"):
        read_contract(tmp_path / "missing")
    with pytest.raises(ZprlError, match=r"no bundle, as it holds no contract\.json"):
        read_contract(tmp_path)
    (tmp_path / "contract.json").write_text(json.dumps(contract.to_dict())[:-20])
    with pytest.raises(ZprlError, match="not valid JSON"):
        read_contract(tmp_path)


@pytest.mark.parametrize("name", ["policy.pt", "policy.zprl", "policy.onnx", "golden.npz"])
def test_missing_truncated_and_altered_files_are_refused(bundle, tmp_path, name):
    folder = shutil.copytree(bundle[0], tmp_path / "bundle")
    path = folder / name
    content = path.read_bytes()
    read_contract(folder)

    path.write_bytes(content[:-1])
    with pytest.raises(ZprlError, match=f"{name} has {len(content) - 1} bytes instead of {len(content)}"):
        read_contract(folder)
    altered = bytearray(content)
    altered[len(content) // 2] ^= 1
    path.write_bytes(altered)
    with pytest.raises(ZprlError, match=f"{name} was altered"):
        read_contract(folder)
    path.unlink()
    with pytest.raises(ZprlError, match=f"lacks its file {name}"):
        read_contract(folder)


def test_a_file_is_its_checksum(tmp_path, contract):
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert checksum(tmp_path / "a") == known
    files = {"a": BundleFile("golden", "", "float32", None, 3, known)}
    assert read_verified(tmp_path, dataclasses.replace(contract, files=files), "a") == b"abc"
