# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Reading of demonstrations, good and broken, and writing of those that others recorded."""

import dataclasses
import json

import h5py
import numpy as np
import pytest

from zprl.data import Demonstration, load_demonstrations, save_demonstrations
from zprl.spec import ActionTerm, Feature, Group, TaskSpec
from zprl.utils.errors import ZprlError

SPEC = TaskSpec(
    "Zprl-Lift-Franka",
    (Group.vector("policy", [("joint_pos", 3), ("cube", 2)]),),
    (ActionTerm.uniform("arm", 2, -2000.0, 2000.0), ActionTerm("gripper", (-float("inf"),), (5.0,), (0.04,))),
    0.02,
    ("cube",),
)
META = {
    "format_version": 2,
    "spec": SPEC.to_dict(),
    "quality": "expert",
    "seed": 7,
    "num_demos": 12,
}

META_OF_VERSION_1 = {
    "format_version": 1,
    "task": "Zprl-Lift-Franka",
    "observation_terms": [["joint_pos", 3], ["cube", 2]],
    "action_terms": [["arm", 2], ["gripper", 1]],
    "step_dt": 0.02,
    "quality": "expert",
    "seed": 7,
    "num_demos": 12,
}


def make_demonstrations(path):
    """Write a valid file, whose numbers say where they belong: demonstration * 100 + step."""
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


@pytest.fixture
def path(tmp_path):
    return make_demonstrations(tmp_path / "demos.hdf5")


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file["data"])


def edit_meta(**entries):
    def change(data):
        data.attrs["zprl"] = json.dumps({name: v for name, v in (META | entries).items() if v is not None})

    return change


def edit_spec(**entries):
    return edit_meta(spec={name: v for name, v in (META["spec"] | entries).items() if v is not None})


def edit_terms(*terms):
    return edit_meta(spec=dataclasses.replace(SPEC, groups=(Group.vector("policy", terms),)).to_dict())


def replace(name, value):
    def change(data):
        del data[name]
        if value is not None:
            data[name] = value

    return change


def test_a_good_file(path):
    demos = load_demonstrations(path)
    assert (demos.task, demos.quality, demos.seed) == ("Zprl-Lift-Franka", "expert", 7)
    assert demos.spec == SPEC
    assert (demos.num_demos, demos.num_successes) == (12, 6)
    assert demos.num_steps == sum(index + 2 for index in range(12))
    assert demos.env_args == {"env_name": "lift"}
    # Demonstration 10 is the one with number 10, not the one after demo_1.
    tenth = demos.episodes[10]
    assert tenth.actions[3].tolist() == [-1003.0] * 3
    assert set(tenth.observations) == {"policy"}
    assert tenth.observations["policy"][3].tolist() == [1003.0] * 3 + [1003.5] * 2
    assert tenth.observations["policy"].dtype == np.float32
    assert demos.episodes[2].dones.tolist() == [False, False, False, True]
    assert [episode.success for episode in demos.episodes[:2]] == [True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit_meta(format_version=3), "format version 3"),
        (lambda data: data.attrs.__setitem__("zprl", json.dumps(META_OF_VERSION_1)), "version 1.* record it again"),
        (edit_meta(spec=None), "'spec'"),
        (edit_spec(task=None), "'task'"),
        (edit_spec(groups=[["cube"]]), "wrong entry"),
        (edit_spec(groups=[{"name": "policy", "features": []}]), "wrong entry"),
        (edit_terms(("cube", 2), ("force", 1)), "obs/force"),
        (edit_terms(("joint_pos", 4), ("cube", 2)), "obs/joint_pos"),
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


# -- images


SEEING = dataclasses.replace(
    SPEC,
    groups=(
        *SPEC.groups,
        Group("front", (Feature("rgb", (4, 6, 3), "image", "uint8"),)),
        Group("hidden", (Feature("mass", (1,), "privileged"), Feature("contact", (2, 3), "privileged", history=2))),
        Group("film", (Feature("depth", (4, 6, 1), "image", "float32", history=2),)),
    ),
)


def make_episode(length, seed=0):
    rng = np.random.default_rng(seed)
    return Demonstration(
        {
            "policy": rng.normal(size=(length, 5)).astype(np.float32),
            "front": rng.integers(256, size=(length, 4, 6, 3), dtype=np.uint8),
            "hidden": rng.normal(size=(length, 13)).astype(np.float32),
            "film": rng.normal(size=(length, 2, 4, 6, 1)).astype(np.float32),
        },
        rng.normal(size=(length, 3)).astype(np.float32),
        np.zeros(length, np.float32),
        np.arange(length) == length - 1,
        seed % 2 == 0,
    )


def test_what_is_saved_comes_back_images_included(tmp_path):
    episodes = [make_episode(3 + i, i) for i in range(11)]
    save_demonstrations(tmp_path / "demos.hdf5", SEEING, episodes, "by hand", 5)
    demos = load_demonstrations(tmp_path / "demos.hdf5")
    assert (demos.spec, demos.quality, demos.seed, demos.num_steps) == (SEEING, "by hand", 5, 88)
    assert demos.env_args == {}
    for ours, theirs in zip(demos.episodes, episodes, strict=True):
        assert ours.success == theirs.success
        for name in ("actions", "rewards", "dones"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
        assert ours.observations.keys() == theirs.observations.keys()
        for group, values in theirs.observations.items():
            assert ours.observations[group].dtype == values.dtype, group
            assert np.array_equal(ours.observations[group], values), group
    with h5py.File(tmp_path / "demos.hdf5") as file:
        assert set(file["data/demo_0/obs"]) == {"joint_pos", "cube", "rgb", "mass", "contact", "depth"}  # pyright: ignore
        assert file["data/demo_0/obs/rgb"].dtype == np.uint8  # pyright: ignore
    save_demonstrations(tmp_path / "again.hdf5", SEEING, episodes, "by hand", 5)
    assert (tmp_path / "again.hdf5").read_bytes() == (tmp_path / "demos.hdf5").read_bytes()


@pytest.mark.parametrize(
    ("group", "spoil", "words"),
    [
        (
            "front",
            lambda images: images[:, :3],
            r"observations front of shape \(4, 3, 6, 3\); one of shape \(4, 6, 3\)",
        ),
        ("front", lambda images: images[1:], r"4 actions and observations front of shape \(3, "),
        ("policy", lambda states: states[:, :4], r"observations policy of shape \(4, 4\); one of shape \(5,\)"),
        ("front", lambda images: images / np.float32(255), "front.*float32.*uint8"),
    ],
)
def test_episodes_that_do_not_fit_their_spec_are_not_saved(tmp_path, group, spoil, words):
    episode = make_episode(4)
    spoilt = dataclasses.replace(
        episode, observations={**episode.observations, group: spoil(episode.observations[group])}
    )
    with pytest.raises(ZprlError, match=words) as error:
        save_demonstrations(tmp_path / "demos.hdf5", SEEING, [episode, spoilt])
    assert "demonstration 1" in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def acting(scale, *limits):
    """Return a spec with these limits of its only action, and an episode of actions between -scale and scale."""
    spec = dataclasses.replace(SEEING, actions=(ActionTerm("lid", *limits, idle=(0.0,)),))
    actions = np.linspace(-scale, scale, 4, dtype=np.float32)[:, None]
    return spec, dataclasses.replace(make_episode(4), actions=actions)


def test_actions_beyond_the_limits_of_the_task_are_neither_saved_nor_read(tmp_path):
    path = tmp_path / "demos.hdf5"
    spec, episode = acting(0.1, (-0.1,), (0.1,))  # 0.1 is no float32, and the limits are rounded as the actions are
    save_demonstrations(path, spec, [episode])
    assert load_demonstrations(path).episodes[0].actions.max() == np.float32(0.1)
    edit(path, replace("demo_0/actions", 3 * episode.actions))
    words = r"actions from -0\.3 to 0\.3 in element 0 of the action term lid, whose limits are -0\.1 and 0\.1"
    with pytest.raises(ZprlError, match=rf"demos\.hdf5 holds {words}, in /data/demo_0; .*\.$"):
        load_demonstrations(path)
    with pytest.raises(ZprlError, match=rf"demonstration 1 holds {words}; .*\.$"):
        save_demonstrations(path, spec, [episode, acting(0.3, (-0.1,), (0.1,))[1]])
    with pytest.raises(ZprlError, match=r"demonstration 0 holds actions of shape \(4, 3\); 1 numbers belong"):
        save_demonstrations(path, spec, [make_episode(4)])


def test_where_the_task_sets_no_limits_the_data_decide(tmp_path):
    path = tmp_path / "demos.hdf5"
    spec, episode = acting(3.0, (-float("inf"),), (5.0,))
    save_demonstrations(path, spec, [episode])
    assert load_demonstrations(path).episodes[0].actions.min() == -3.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace("demo_1/obs/rgb", np.zeros((5, 4, 5, 3), np.uint8)), r"uint8 of shape \(5, 4, 5, 3\).*\(5, 4, 6, 3\)"),
        (replace("demo_1/obs/rgb", np.zeros((4, 4, 6, 3), np.uint8)), r"shape \(4, 4, 6, 3\) at /data/demo_1/obs/rgb"),
        (replace("demo_1/obs/rgb", np.zeros((5, 4, 6, 3), np.float32)), "float32 of shape .* and uint8 of shape"),
        (replace("demo_1/obs/rgb", None), "demo_1/obs/rgb"),
    ],
)
def test_images_of_another_shape_or_type_are_refused(tmp_path, change, message):
    path = tmp_path / "demos.hdf5"
    save_demonstrations(path, SEEING, [make_episode(4), make_episode(5)])
    edit(path, change)
    with pytest.raises(ZprlError, match=message) as error:
        load_demonstrations(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
