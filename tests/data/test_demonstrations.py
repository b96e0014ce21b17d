# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Reading of demonstrations, good and broken."""

import json

import h5py
import numpy as np
import pytest

from zprl.data import load_demonstrations
from zprl.utils.errors import ZprlError

META = {
    "format_version": 1,
    "task": "Zprl-Lift-Franka",
    "observation_terms": [["joint_pos", 3], ["cube", 2]],
    "action_terms": [["arm", 2], ["gripper", 1]],
    "step_dt": 0.02,
    "quality": "expert",
    "seed": 7,
    "num_demos": 12,
}


@pytest.fixture
def path(tmp_path):
    """A valid file, whose numbers say where they belong: demonstration * 100 + step."""
    path = tmp_path / "demos.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["zprl"] = json.dumps(META)
        data.attrs["env_args"] = json.dumps({"env_name": "lift"})
        for index in range(META["num_demos"]):
            length = index + 2
            steps = (100 * index + np.arange(length))[:, None]
            demo = data.create_group(f"demo_{index}")
            demo.attrs["num_samples"] = length
            demo.attrs["success"] = index % 2 == 0
            # Written in another order than the terms', so that the reader has to go by their names.
            demo["obs/cube"] = np.repeat(steps + 0.5, 2, axis=1).astype(np.float32)
            demo["obs/joint_pos"] = np.repeat(steps, 3, axis=1).astype(np.float64)
            demo["actions"] = np.repeat(-steps, 3, axis=1).astype(np.float32)
            demo["rewards"] = np.zeros(length, np.float32)
            demo["dones"] = np.arange(length) == length - 1
        data.attrs["total"] = sum(index + 2 for index in range(META["num_demos"]))
    return path


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file["data"])


def edit_meta(**entries):
    def change(data):
        data.attrs["zprl"] = json.dumps({name: v for name, v in (META | entries).items() if v is not None})

    return change


def replace(name, value):
    def change(data):
        del data[name]
        if value is not None:
            data[name] = value

    return change


def test_a_good_file(path):
    demos = load_demonstrations(path)
    assert (demos.task, demos.step_dt, demos.quality, demos.seed) == ("Zprl-Lift-Franka", 0.02, "expert", 7)
    assert (demos.num_demos, demos.obs_dim, demos.action_dim) == (12, 5, 3)
    assert demos.num_steps == sum(index + 2 for index in range(12))
    assert demos.env_args == {"env_name": "lift"}
    # Demonstration 10 is the one with number 10, not the one after demo_1.
    assert demos.actions[10][3].tolist() == [-1003.0] * 3
    assert demos.observations[10][3].tolist() == [1003.0] * 3 + [1003.5] * 2
    assert demos.observations[10].dtype == np.float32
    assert demos.dones[2].tolist() == [False, False, False, True]
    assert demos.success[:2] == [True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit_meta(format_version=2), "format version 2"),
        (edit_meta(task=None), "'task'"),
        (edit_meta(observation_terms=[["cube"]]), "wrong entry"),
        (edit_meta(observation_terms=[["cube", 2], ["force", 1]]), "obs/force"),
        (edit_meta(observation_terms=[["joint_pos", 4], ["cube", 2]]), "obs/joint_pos"),
        (edit_meta(num_demos=13), "12 of 13"),
        (lambda data: data.attrs.__delitem__("zprl"), "not recorded by ZPRL"),
        (lambda data: data.attrs.__setitem__("zprl", "{"), "not JSON"),
        (lambda data: data.attrs.__setitem__("zprl", "[]"), "not a JSON object"),
        (lambda data: data["demo_3"].attrs.__setitem__("num_samples", 99), "should have 99"),
        (lambda data: data["demo_3"].attrs.__delitem__("success"), "success"),
        (replace("demo_3/actions", None), "demo_3/actions"),
        (replace("demo_3/obs", None), "demo_3/obs"),
        (replace("demo_3/actions", np.zeros((0, 3), np.float32)), "no steps"),
        (replace("demo_3/actions", np.zeros((5, 4), np.float32)), "demo_3/actions"),
        (replace("demo_3/rewards", np.zeros(4, np.float32)), "demo_3/rewards"),
        (replace("demo_3/dones", np.zeros((5, 1), bool)), "demo_3/dones"),
        (replace("demo_3/obs/cube", np.full((5, 2), np.nan, np.float32)), "NaN"),
        (replace("demo_3/actions", np.full((5, 3), np.inf, np.float32)), "NaN or infinity"),
        (lambda data: [data.__delitem__(name) for name in list(data)], "no demonstration"),
    ],
)
def test_a_broken_file_says_what_is_broken(path, change, message):
    edit(path, change)
    with pytest.raises(ZprlError, match=message) as error:
        load_demonstrations(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(ZprlError, match="does not exist"):
        load_demonstrations(tmp_path / "none.hdf5")


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.95])
def test_truncated_file(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(ZprlError, match="truncated, damaged or not HDF5"):
        load_demonstrations(path)


def test_another_format(tmp_path):
    path = tmp_path / "demos.hdf5"
    path.write_text("not HDF5")
    with pytest.raises(ZprlError, match="not HDF5"):
        load_demonstrations(path)


def test_empty_hdf5_file(tmp_path):
    path = tmp_path / "demos.hdf5"
    h5py.File(path, "w").close()
    with pytest.raises(ZprlError, match="group /data"):
        load_demonstrations(path)
