# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Files of robomimic and of others with its layout, which say less than this project's own."""

import dataclasses
import json

import h5py
import numpy as np
import pytest
from tests.data.test_demonstrations import make_episode

from zprl.data import DatasetNamesCfg, load_demonstrations, save_demonstrations, says_its_spec
from zprl.spec import ActionTerm, Feature, Group, TaskSpec
from zprl.utils.errors import ZprlError

from .test_demonstrations import SEEING

CAMERA = (4, 6, 3)
TASK = TaskSpec(
    "Can",
    (
        Group.vector("policy", [("robot0_eef_pos", 3), ("object", 14)]),
        Group("agentview", (Feature("agentview_image", CAMERA, "image", "uint8"),)),
        Group.vector("hidden", [("mass", 1)], "privileged"),
    ),
    (ActionTerm.uniform("arm", 6), ActionTerm.uniform("gripper", 1)),
    0.05,
)
POLICY = ["policy", "agentview"]
LENGTHS = {"demo_0": 4, "demo_2": 6, "demo_10": 5}
"""With gaps, as filtering leaves them; the last one comes second in the alphabet."""


def numbers(number, length, size):
    return 100 * number + np.arange(length)[:, None] + np.arange(size) / 16.0


@pytest.fixture
def path(tmp_path):
    """Give a file as robomimic's own data sets are: sorted names, float64, masks, no success."""
    path = tmp_path / "low_dim_v141.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(LENGTHS.values())
        args = {"env_name": "PickPlaceCan", "type": 1, "env_kwargs": {"control_freq": 20, "robots": ["Panda"]}}
        data.attrs["env_args"] = json.dumps(args)
        for name, length in LENGTHS.items():
            number, demo = int(name[5:]), data.create_group(name)
            demo.attrs["num_samples"] = length
            demo.attrs["model_file"] = "<mujoco/>"
            demo["actions"] = np.sin(numbers(number, length, 7))
            demo["states"] = np.zeros((length, 71))
            demo["rewards"] = (np.arange(length) == length - 1) * float(number != 2)
            demo["dones"] = (np.arange(length) == length - 1).astype(int)
            for part in ("obs", "next_obs"):
                demo[f"{part}/object"] = numbers(number, length, 14)
                demo[f"{part}/robot0_eef_pos"] = numbers(number, length, 3) + 0.5
                demo[f"{part}/agentview_image"] = np.full((length, *CAMERA), number, np.uint8)
        file["mask/train"] = np.array([b"demo_0", b"demo_10"])
        file["mask/20_percent"] = np.array(["demo_2"], dtype=h5py.string_dtype())
        file["mask/none"] = np.array([], dtype="S8")
    return path


def test_a_task_says_the_order_and_a_reward_is_a_success(path):
    assert not says_its_spec(path)
    demos = load_demonstrations(path, TASK, groups=POLICY)
    assert [len(episode.actions) for episode in demos.episodes] == [4, 6, 5]
    assert [episode.success for episode in demos.episodes] == [True, False, True]
    assert [group.name for group in demos.spec.groups] == POLICY
    last = demos.episodes[2]
    assert last.observations["policy"].dtype == np.float32
    seen = np.concatenate([numbers(10, 5, 3) + 0.5, numbers(10, 5, 14)], axis=1)
    assert np.array_equal(last.observations["policy"], seen.astype(np.float32))
    assert np.array_equal(last.observations["agentview"], np.full((5, *CAMERA), 10))
    assert np.array_equal(last.actions, np.sin(numbers(10, 5, 7)).astype(np.float32))
    assert last.dones.tolist() == [False, False, False, False, True]
    assert demos.masks == {"train": (0, 2), "20_percent": (1,), "none": ()}
    assert demos.env_args["env_name"] == "PickPlaceCan"
    assert "object is object[14]" in demos.notes


def test_a_filter_key_chooses(path):
    demos = load_demonstrations(path, TASK, DatasetNamesCfg(filter_key="train"), POLICY)
    assert [len(episode.actions) for episode in demos.episodes] == [4, 5]


def test_names_are_mapped(path):
    groups = (Group.vector("policy", [("pose", 3), ("can", 8), ("bin", 6)]),)
    names = DatasetNamesCfg(features={"object": ["can", "bin"], "robot0_eef_pos": ["pose"]})
    seen = load_demonstrations(path, dataclasses.replace(TASK, groups=groups), names).episodes[0].observations["policy"]
    assert np.array_equal(seen[:, 3:], numbers(0, 4, 14).astype(np.float32))


def edit(path, name, value):
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if value is not None:
            file[name] = value


@pytest.mark.parametrize(
    ("spec", "names", "groups", "words"),
    [
        ({"step_dt": 0.1}, {}, POLICY, "was recorded at 20 Hz, and task Can runs at 10 Hz"),
        ({}, {}, ["policy", "hidden"], r"no mass, where mass\[1, privileged\] of task Can would be; it has .*object"),
        ({}, {"filter_key": "test"}, POLICY, "no filter key 'test'; it has 20_percent, none, train"),
        ({}, {"filter_key": "none"}, POLICY, "'none' .* holds no demonstration"),
        ({}, {"action": "actions_abs"}, POLICY, "no actions_abs, its actions"),
        ({"actions": TASK.actions[:1]}, {}, POLICY, "7 numbers in actions, and task Can acts by 6: arm"),
        ({"actions": (ActionTerm.uniform("a", 7, -0.1, 0.1),)}, {}, POLICY, "holds actions from .*, in episode 0"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(path, spec, names, groups, words):
    with pytest.raises(ZprlError, match=words) as error:
        load_demonstrations(path, dataclasses.replace(TASK, **spec), DatasetNamesCfg(**names), groups)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("data/demo_10/obs/object", None, "lacks the dataset /data/demo_10/obs/object"),
        ("data/demo_10/obs/object", np.zeros((5, 13)), r"shape \(5, 13\) at /data/demo_10/obs/object"),
        ("data/demo_10/obs/agentview_image", np.zeros((5, 6, 4, 3), np.uint8), "agentview_image"),
        ("data/demo_10/actions", np.full((5, 7), np.nan), "NaN or infinity at /data/demo_10/actions"),
        ("data/demo_10/actions", np.zeros((4, 7)), "has 4 actions in /data/demo_10, which should have 5"),
        ("mask/train", np.array([b"demo_3"]), "names 'demo_3' at /mask/train, and holds no such demonstration"),
        ("mask/train", np.zeros(3), "no list of names at /mask/train"),
        ("mask", h5py.SoftLink("/data"), "has a link at /mask"),
        ("mask/train", h5py.ExternalLink("other.hdf5", "mask"), "has a link at /mask/train"),
    ],
)
def test_what_is_broken_is_refused(path, name, value, words):
    edit(path, name, value)
    with pytest.raises(ZprlError, match=words):
        load_demonstrations(path, TASK, groups=POLICY)


def test_half_a_file_is_refused(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for read in (lambda: load_demonstrations(path, TASK, groups=POLICY), lambda: says_its_spec(path)):
        with pytest.raises(ZprlError, match="truncated, damaged or not HDF5"):
            read()


def test_what_is_not_said_is_assumed_and_the_user_is_told(path):
    with h5py.File(path, "r+") as file:
        del file["data"].attrs["env_args"]
        for name in LENGTHS:
            del file[f"data/{name}/rewards"], file[f"data/{name}/dones"]
    demos = load_demonstrations(path, TASK, groups=POLICY)
    assert demos.num_successes == 3 and demos.episodes[1].rewards.tolist() == [0.0] * 6
    assert demos.episodes[1].dones.tolist() == [False] * 5 + [True]
    assert "its control frequency is not said; 20 Hz is assumed" in demos.notes
    assert "it has no rewards: all of them are taken as successful" in demos.notes


def test_isaac_lab_says_its_period_in_another_way(path):
    args = {"env_name": "Isaac-Lift", "type": 2, "sim_args": {"dt": 0.01, "decimation": 2}}
    with h5py.File(path, "r+") as file:
        file["data"].attrs["env_args"] = json.dumps(args)
    with pytest.raises(ZprlError, match="recorded at 50 Hz, and task Can runs at 20 Hz"):
        load_demonstrations(path, TASK, groups=POLICY)
    demos = load_demonstrations(path, dataclasses.replace(TASK, step_dt=0.02), groups=POLICY)
    assert not any("control frequency" in note for note in demos.notes)


def test_masks_that_robomimic_adds_to_a_file_of_ours_count(tmp_path):
    path = tmp_path / "demos.hdf5"
    save_demonstrations(path, SEEING, [make_episode(3 + i, i) for i in range(3)])
    with h5py.File(path, "r+") as file:
        file["mask/valid"] = np.array(["demo_2", "demo_0"], dtype="S")  # as robomimic's create_hdf5_filter_key does
    demos = load_demonstrations(path, names=DatasetNamesCfg(filter_key="valid"))
    assert [len(episode.actions) for episode in demos.episodes] == [5, 3]
    with pytest.raises(ZprlError, match="no filter key 'train'; it has valid"):
        load_demonstrations(path, names=DatasetNamesCfg(filter_key="train"))
