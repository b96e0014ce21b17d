# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Files that are not what they say: every reader refuses them in one short sentence, at once and unread."""

import hashlib
import io
import json
import os
import resource
import zipfile
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from tests.checkpoints import ACTION_DIM, LATENT_DIM, OBS_DIM, make_checkpoint, make_policy
from tests.data.test_demonstrations import make_demonstrations
from tests.deploy.conftest import make_contract, make_recording, make_source

from zprl.data import load_demonstrations
from zprl.deploy.contract import CONTRACT_FILE, read_contract
from zprl.deploy.golden import read_recording
from zprl.policies import load_policy
from zprl.policies.io import KIND, VERSION
from zprl.rl.actor import make_actor
from zprl.rl.checkpoint import load_checkpoint
from zprl.utils.errors import ZprlError
from zprl.utils.files import load_json
from zprl.utils.tensor_files import load_tensors, save_tensors

TERABYTES = 1 << 43


def refused(read, *arguments):
    """Return the sentence in which a file is refused, which has to take less than 1 GiB of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ZprlError) as error:
        read(*arguments)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
    sentence = str(error.value)
    assert "\n" not in sentence
    assert len(sentence) < 1000, sentence[:1000]
    return sentence


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Give the contract of a small policy and its recording."""
    source = make_source(tmp_path_factory.mktemp("source"))
    return make_contract(source), make_recording(source)


# -- any file


def pipe(path):
    os.mkfifo(path)


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(TERABYTES)


READERS = {
    "base policy": load_policy,
    "checkpoint": load_checkpoint,
    "demonstrations": load_demonstrations,
    "JSON": load_json,
    "contract": lambda path: read_contract(path.parent),
    "recording": read_recording,
}


@pytest.mark.parametrize("make", [pipe, sparse])
@pytest.mark.parametrize("what", READERS)
def test_what_is_no_file_or_has_terabytes_is_refused(tmp_path, what, make):
    path = tmp_path / CONTRACT_FILE
    make(path)
    assert str(path) in refused(READERS[what], path)


# -- contracts


def with_text(old, new):
    def change(values):
        text = json.dumps(values)
        assert old in text
        return text.replace(old, new, 1)

    return change


def with_value(path, value):
    def change(values):
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
        inner = values
        for part in parents:
            inner = inner[part]
        inner[last] = value
        return json.dumps(values)

    return change


FILE = {"kind": "a", "needs": "", "precision": "", "tolerance": None, "size": 1, "sha256": ""}

CONTRACTS = {
    "a name twice": (with_text('"low": -1.0', '"low": -1.0, "low": -5.0'), "'low' comes twice"),
    "10^400": (with_text('"period": 0.05', '"period": 1' + "0" * 400), "too large"),
    "1e400": (with_text('"period": 0.05', '"period": 1e400'), "too large"),
    "a million digits": (with_text('"period": 0.05', '"period": ' + "1" * 1_000_000), "not valid JSON"),
    "NaN": (with_text('"period": 0.05', '"period": NaN'), "NaN"),
    "infinity": (with_text('"low": -1.0', '"low": -Infinity'), "-Infinity"),
    "deep": (with_text('"evaluation": {', '"evaluation": {"x": ' + "[" * 500 + "]" * 500 + ","), "nested too deeply"),
    "deeper": (with_text('"evaluation": {', '"evaluation": {"x": ' + "[" * 99999 + "]" * 99999 + ","), "nested too"),
    "a limit beyond float32": (with_value("action.0.high", 1e40), r"action\[0\].high"),
    "a mean beyond float32": (with_value("latent.mean", [0.0] * (LATENT_DIM - 1) + [-1e39]), r"latent.mean\[4\]"),
    "a deviation below float32": (with_value("latent.std", [1.0] * (LATENT_DIM - 1) + [1e-60]), "latent.std"),
    "limits that float32 makes one": (with_value("action.0.low", 1.0 - 1e-12), "action dx has a lower limit"),
    "a negative change": (with_value("action.0.max_change", -1.0), "max_change"),
    "a long horizon": (with_value("control.horizon", 5_000), "control.horizon"),
    "a huge image": (with_value("observation.groups.0.shape", [10**30]), "observation group policy"),
    "a long name": (with_text('"task":', f'"{"x" * 1_000_000}": 0, "task":'), "a name of 1000000 characters"),
    "many names": (with_value("observation.groups.0.features", [{"x" * 900: 0}] * 10_000), "lacks"),
    "many new names": (with_value("control", {f"x{i}": 0 for i in range(40_000)}), "lacks control.period"),
    "a negative size": (with_value("files", {"a": {**FILE, "size": -1}}), "files.a.size"),
    "a hidden file": (with_value("files", {".a": FILE}), "no file beside the contract"),
}


def seal(text):
    """Return a contract's text with its own checksum in front."""
    opening = b'{\n  "sha256": "'
    rest = b'",' + text.encode()[1:]
    return opening + hashlib.sha256(opening + b"0" * 64 + rest).hexdigest().encode() + rest


@pytest.mark.parametrize("name", CONTRACTS)
def test_malformed_contracts_are_refused(exported, tmp_path, name):
    change, words = CONTRACTS[name]
    values = exported[0].to_dict()
    (tmp_path / CONTRACT_FILE).write_bytes(seal(json.dumps(values)))
    read_contract(tmp_path)
    (tmp_path / CONTRACT_FILE).write_bytes(seal(change(values)))
    with pytest.raises(ZprlError, match=words):
        read_contract(tmp_path)
    refused(read_contract, tmp_path)


# -- recordings


def zipped(arrays, kind=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def declared(shape, dtype="<f4", values=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + values


def with_array(name, content):
    return lambda arrays: zipped({**arrays, name: content})


def with_dtype(name, dtype):
    def change(arrays):
        return zipped({**arrays, name: npy(np.load(io.BytesIO(arrays[name])).astype(dtype))})

    return change


def overlapping(arrays):
    """A thousand names for the bytes of one array."""
    content = zipped({"obs": arrays["obs"]})
    start = content.index(b"PK\x01\x02")
    entry, end = content[start:-22], bytearray(content[-22:])
    entries = b"".join(entry.replace(b"obs.npy", f"{i:03d}.npy".encode()) for i in range(1000))
    end[8:12] = (1000).to_bytes(2, "little") * 2
    end[12:16] = len(entries).to_bytes(4, "little")
    return content[:start] + entries + bytes(end)


RECORDINGS = {
    "nothing": lambda arrays: b"",
    "a petabyte declared": with_array("obs", declared((1 << 40, OBS_DIM))),
    "no end of a shape": with_array("obs", declared((1 << 62, 1 << 62))),
    "a negative shape": with_array("obs", declared((-3, OBS_DIM))),
    "objects": with_array("obs", declared((3, OBS_DIM), "|O")),
    "complex numbers": with_dtype("action", np.complex64),
    "double precision": with_dtype("chunk", np.float64),
    "texts": with_dtype("chunk", "S8"),
    "numbers as plans": with_dtype("plan_step", np.float32),
    "NaN": with_array("obs", npy(np.full((21, OBS_DIM), np.nan, np.float32))),
    "too few steps": with_array("action", npy(np.zeros((2, ACTION_DIM), np.float32))),
    "too few actions": with_array("action", npy(np.zeros((21, ACTION_DIM + 1), np.float32))),
    "a plan beyond the end": with_array("plan_step", npy(np.full(12, 10_000, np.int32))),
    "a plan before the beginning": with_array("plan_step", npy(np.full(12, -1, np.int32))),
    "no plan": lambda arrays: zipped({name: value for name, value in arrays.items() if name != "plan_step"}),
    "a header of parentheses": with_array("obs", b"\x93NUMPY\x01\x00" + (9990).to_bytes(2, "little") + b"(" * 9990),
    "a bomb": lambda arrays: zipped({**arrays, "more": npy(np.zeros(1 << 18))}, zipfile.ZIP_DEFLATED),
    "a thousand overlapping names": overlapping,
    "5,000 names": lambda arrays: zipped({f"x{i}": b"" for i in range(5_000)}),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_malformed_recordings_are_refused(exported, tmp_path, name):
    contract, recording = exported
    path = tmp_path / "golden.npz"
    path.write_bytes(recording.to_bytes())
    read_recording(path, contract)
    with np.load(path) as file:
        arrays = {name: npy(file[name]) for name in file.files}
    path.write_bytes(RECORDINGS[name](arrays))
    assert str(path) in refused(read_recording, path, contract)


# -- demonstrations


def replaced(name, make):
    """Return a change of the group ``data`` in which a member is another."""

    def change(data):
        del data[name]
        make(data, name)

    return change


def secret(data):
    return str(data.file.filename) + ".secret"


def external_storage(data, name):
    with open(secret(data), "wb") as file:
        file.write(bytes(20))
    data.create_dataset(name, (5,), np.float32, external=[(secret(data), 0, 20)])


def external_link(data, name):
    with h5py.File(secret(data), "w") as file:
        file["x"] = np.zeros(5, np.float32)
    data[name] = h5py.ExternalLink(secret(data), "x")


def soft_link(target):
    def make(data, name):
        data[name] = h5py.SoftLink(target)

    return make


def virtual(data, name):
    layout = h5py.VirtualLayout((5,), np.float32)
    layout[:] = h5py.VirtualSource(secret(data), "x", (5,))
    data.create_virtual_dataset(name, layout)


def dataset(shape, dtype: Any = np.float32, **options):
    return lambda data, name: data.create_dataset(name, shape, dtype, **options)


def attribute(name, value, of="."):
    return lambda data: data[of].attrs.__setitem__(name, value)


def metadata(**changes):
    """Return a change of the attribute ``zprl``, or with a path of several names of its spec."""

    def change(data):
        values = json.loads(data.attrs["zprl"])
        for path, value in changes.items():
            *parents, last = (int(part) if part.isdigit() else part for part in path.split("__"))
            inner = values
            for part in parents:
                inner = inner[part]
            inner[last] = value
        data.attrs["zprl"] = json.dumps(values)

    return change


def text_of_metadata(old, new):
    def change(data):
        assert old in data.attrs["zprl"]
        data.attrs["zprl"] = data.attrs["zprl"].replace(old, new)

    return change


REWARDS = "demo_3/rewards"

DEMONSTRATIONS = {
    "external storage": (replaced(REWARDS, external_storage), "in another file"),
    "an external link": (replaced(REWARDS, external_link), "link"),
    "an external link on the way": (replaced("demo_3/obs", external_link), "link"),
    "a virtual data set": (replaced(REWARDS, virtual), "in another file"),
    "a soft link": (replaced(REWARDS, soft_link("/data/demo_2/rewards")), "link"),
    "a loop of links": (replaced("demo_3", soft_link("/data/demo_3")), "link"),
    "a petabyte declared": (replaced(REWARDS, dataset((5,), maxshape=(None,), chunks=(1,))), "holds 0 of"),
    "a petabyte of steps": (replaced("demo_3/actions", dataset((1 << 48, 3), chunks=(1024, 3))), "holds 0 of"),
    "no shape": (replaced(REWARDS, lambda data, name: data.create_dataset(name, data=h5py.Empty("f4"))), "shape"),
    "texts": (replaced(REWARDS, dataset((5,), "S8")), "no numbers"),
    "complex numbers": (replaced(REWARDS, dataset((5,), np.complex64)), "no numbers"),
    "numbers beyond float32": (replaced(REWARDS, dataset((5,), np.float64, data=np.full(5, 1e300))), "infinity"),
    "a group as data set": (replaced(REWARDS, lambda data, name: data.create_group(name)), REWARDS),
    "success as text": (attribute("success", "False", "demo_3"), "success"),
    "success as bytes": (attribute("success", np.bytes_("False"), "demo_3"), "success"),
    "success as list": (attribute("success", [True, False], "demo_3"), "success"),
    "success as two": (attribute("success", 2, "demo_3"), "success"),
    "success as NaN": (attribute("success", float("nan"), "demo_3"), "success"),
    "a length as text": (attribute("num_samples", "many", "demo_3"), "num_samples"),
    "a length as list": (attribute("num_samples", [5, 5], "demo_3"), "num_samples"),
    "metadata as numbers": (attribute("zprl", np.arange(3)), "zprl"),
    "metadata as nothing": (attribute("zprl", h5py.Empty("f4")), "zprl"),
    "metadata nested": (attribute("zprl", "[" * 50_000), "nested too deeply"),
    "metadata with a name twice": (text_of_metadata('"seed": 7', '"seed": 7, "seed": 8'), "'seed' comes twice"),
    "environment as numbers": (attribute("env_args", np.arange(3)), "env_args"),
    "a period of NaN": (text_of_metadata('"step_dt": 0.02', '"step_dt": NaN'), "NaN"),
    "a period of 10^400": (text_of_metadata('"step_dt": 0.02', '"step_dt": 1' + "0" * 400), "too large"),
    "a negative period": (metadata(spec__step_dt=-1.0), "period"),
    "a period as text": (metadata(spec__step_dt="0.02"), "step_dt"),
    "a number as a flag": (metadata(num_demos=True), "num_demos"),
    "a count as text": (metadata(num_demos="12"), "num_demos"),
    "a negative size": (metadata(spec__groups__0__features__0__shape=[-3]), "shape"),
    "no history": (metadata(spec__groups__0__features__0__history=0), "history"),
    "a type that is none": (metadata(spec__groups__0__features__0__dtype="object"), "dtype"),
    "a complex type": (metadata(spec__groups__0__features__0__dtype="complex64"), "dtype"),
    "limits that cross": (metadata(spec__actions__0__low=[2.0, 2.0]), "limit"),
    "no groups": (metadata(spec__groups=[]), "group"),
    "a name of another kind": (metadata(spec__task=["a"]), "task"),
    "a long number as name": (lambda data: data.create_group("demo_" + "1" * 5_000), "of 12 demonstrations"),
}


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_malformed_demonstrations_are_refused(tmp_path, name):
    change, words = DEMONSTRATIONS[name]
    path = make_demonstrations(tmp_path / "demos.hdf5")
    load_demonstrations(path)
    with h5py.File(path, "r+") as file:
        change(file["data"])
    with pytest.raises(ZprlError, match=words):
        load_demonstrations(path)
    assert str(path) in refused(load_demonstrations, path)


def test_text_of_a_fixed_length_is_text(tmp_path):
    path = make_demonstrations(tmp_path / "demos.hdf5")
    before = load_demonstrations(path)
    with h5py.File(path, "r+") as file:
        for name in ("zprl", "env_args"):
            file["data"].attrs[name] = np.bytes_(file["data"].attrs[name])
        file["data/demo_0"].attrs["success"] = 1
    after = load_demonstrations(path)
    assert (after.spec, after.env_args, after.num_successes) == (before.spec, before.env_args, before.num_successes)


# -- files of tensors


def forged(content, before, after):
    """Return a file of tensors with other bytes and the right checksum."""
    assert before in content
    content = content.replace(before, after)
    size = int.from_bytes(content[:8], "little") + len(after) - len(before)
    content = size.to_bytes(8, "little") + content[8:]
    start = content.index(b'sha256\\":\\"') + 11
    blank = content[:start] + b"0" * 64 + content[start + 64 :]
    return content[:start] + hashlib.sha256(blank).hexdigest().encode() + content[start + 64 :]


TENSORS = {
    "a name twice": (b'\\"beta\\":1', b'\\"beta\\":1,\\"beta\\":2'),
    "a tensor's name twice": (b'"0":', b'"0":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"0":'),
    "10^400": (b'\\"beta\\":1', b'\\"beta\\":1' + b"0" * 400),
    "NaN": (b'\\"beta\\":1', b'\\"beta\\":NaN'),
    "a petabyte declared": (b'"shape":[3]', b'"shape":[1125899906842624]'),
    "a size without end": (b'"shape":[3]', b'"shape":[4611686018427387904,4611686018427387904]'),
    "another type": (b'"F32"', b'"F4"'),
    "deep": (b'\\"beta\\":1', b'\\"beta\\":' + b"[" * 500 + b"]" * 500),
    "a version of another type": (b'\\"version\\":1', b'\\"version\\":[1]'),
    "a list as key": (b'{\\"beta\\":1}', b'{\\"$items\\":[[[1],2]]}'),
}


@pytest.mark.parametrize("name", TENSORS)
def test_malformed_files_of_tensors_are_refused(tmp_path, name):
    path = tmp_path / "file.safetensors"
    save_tensors(path, {"weights": torch.arange(3.0), "settings": {"beta": 1}}, KIND, VERSION)
    load_tensors(path, KIND, "file")
    path.write_bytes(forged(path.read_bytes(), *TENSORS[name]))
    assert str(path) in refused(load_tensors, path, KIND, "file")


def test_a_file_of_tensors_that_is_longer_than_it_says_is_not_read(tmp_path):
    path = tmp_path / "file.safetensors"
    save_tensors(path, torch.arange(3.0), KIND, VERSION)
    with open(path, "r+b") as file:
        file.truncate(TERABYTES)
    assert "8796093022208 bytes" in refused(load_tensors, path, KIND, "file")


@pytest.mark.parametrize(
    "changes",
    [{"hidden_dims": "wide"}, {"hidden_dims": [-3]}, {"activation": "os.system"}, {"activation": 3}, {"unknown": 1}],
    ids=str,
)
def test_an_actor_whose_settings_make_no_network_is_refused(tmp_path, changes):
    policy = make_policy()
    checkpoint = make_checkpoint(tmp_path / "model_1.safetensors", policy)
    make_actor(checkpoint)
    checkpoint.settings["agent"]["actor"].update(changes)
    assert "the actor in" in refused(make_actor, checkpoint)
