# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Data sets of LeRobot: what its own class wrote is read, and what is written is like it and comes back as it was."""

import contextlib
import dataclasses
import errno
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.crafted import Evil
from tests.data import make_lerobot_fixture as made
from tests.data.test_demonstrations import SPEC

from zprl.data import (
    DatasetNamesCfg,
    Demonstration,
    Demonstrations,
    dataset_checksum,
    load_demonstrations,
    save_demonstrations,
    write_demonstrations,
)
from zprl.data.lerobot import ENCODINGS
from zprl.data.lerobot.images import VideoWriter
from zprl.spec import ActionTerm, Feature, Group, TaskSpec
from zprl.utils.errors import NotInstalledError, ZprlError

FIXTURE = Path(__file__).parent / "lerobot_fixture"
"""Written by LeRobot 0.6.1, see :mod:`tests.data.make_lerobot_fixture`."""
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.front/chunk-000/file-000.mp4"
INFO = "meta/info.json"

CAMERA = (made.HEIGHT, made.WIDTH, 3)
TASK = TaskSpec(
    "Task",
    (
        Group.vector("policy", [("joints", 3), ("cube", 2)]),
        Group.vector("hidden", [("mass", 1)], "privileged"),
        Group("front", (Feature("front", CAMERA, "image", "uint8"),)),
        Group("wrist", (Feature("wrist", CAMERA, "image", "uint8"),)),
    ),
    (ActionTerm.uniform("arm", 2), ActionTerm.uniform("gripper", 1)),
    1 / made.FPS,
)


def changed(group, *features):
    """Return the task's spec with other features in a group."""
    groups = tuple(Group(g.name, features) if g.name == group else g for g in TASK.groups)
    return dataclasses.replace(TASK, groups=groups)


@pytest.fixture
def fixture(tmp_path):
    return Path(shutil.copytree(FIXTURE, tmp_path / "lerobot"))


def refused(*arguments, **options):
    """Return the sentence in which a data set is refused."""
    with pytest.raises(ZprlError) as error:
        load_demonstrations(*arguments, **options)
    sentence = str(error.value)
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 600
    return sentence


# -- what LeRobot wrote


def test_what_lerobot_wrote_is_read():
    demos = load_demonstrations(FIXTURE, TASK)
    assert (demos.spec, demos.num_demos, demos.num_steps) == (TASK, 3, sum(made.LENGTHS))
    assert [episode.success for episode in demos.episodes] == [True, False, True]
    for index, (length, episode) in enumerate(zip(made.LENGTHS, demos.episodes, strict=True)):
        steps = range(length)
        observed = episode.observations
        assert np.array_equal(observed["policy"], [made.state(index, step) for step in steps])
        assert np.array_equal(observed["hidden"], [made.mass(index)] * length)
        assert np.array_equal(observed["wrist"], [made.image(index, step, 1) for step in steps])
        assert np.array_equal(episode.actions, [made.action(index, step) for step in steps])
        assert episode.dones.tolist() == [False] * (length - 1) + [True]
        assert episode.rewards.tolist() == [0.0] * (length - 1) + [float(index != made.FAILED)]
        for (
            step
        ) in steps:  # a video of LeRobot loses something, but each image is nearer to its own than to its neighbours
            errors = [np.abs(observed["front"][step].astype(int) - made.image(index, s, 0)).mean() for s in steps]
            assert np.argmin(errors) == step and errors[step] < 4.0
    assert demos.notes == (
        "observation.state is joints[3], cube[2]",
        "observation.environment_state is mass[1, privileged]",
        "observation.images.front is front[32x48x3 uint8, image]",
        "observation.images.wrist is wrist[32x48x3 uint8, image]",
        "action is arm[2], gripper[1]",
    )


def test_a_task_says_what_stands_where():
    spec = changed("policy", Feature("height", (1,)), Feature("pose", (2, 2)))
    names = DatasetNamesCfg(features={"observation.state": ["pose", "height"], "observation.images.wrist": ["front"]})
    demos = load_demonstrations(FIXTURE, spec, names, groups=["policy", "front"])
    state = made.state(1, 2)
    assert demos.episodes[1].observations["policy"][2].tolist() == [state[4], *state[:4]]
    assert np.array_equal(demos.episodes[2].observations["front"][0], made.image(2, 0, 1))


def test_groups_that_the_policy_does_not_see_may_be_missing():
    spec = changed("wrist", Feature("overview", CAMERA, "image", "uint8"))
    demos = load_demonstrations(FIXTURE, spec, groups=["policy"])
    assert [group.name for group in demos.spec.groups] == ["policy", "hidden", "front"]
    assert set(demos.episodes[0].observations) == {"policy", "hidden", "front"}
    assert "not used: observation.images.wrist" in demos.notes
    assert any(
        note.startswith("without the group wrist: it has no observation.images.overview") for note in demos.notes
    )
    assert "has no observation.images.overview" in refused(FIXTURE, spec, groups=["policy", "wrist"])
    names = DatasetNamesCfg(features={"observation.images.wrist": ["front"]})
    demos = load_demonstrations(FIXTURE, TASK, names, ["front"])
    assert "without the group wrist: it has front in observation.images.wrist" in "\n".join(demos.notes)


@pytest.mark.parametrize(
    ("spec", "names", "words"),
    [
        (None, {}, "does not say what was observed and done"),
        (changed("policy", Feature("joints", (7,))), {}, "5 numbers a step in observation.state, and .* 7 numbers"),
        (changed("front", Feature("front", (64, 48, 3), "image", "uint8")), {}, "32x48x3 .* and .* 64x48x3"),
        (changed("front", Feature("top", CAMERA, "image", "uint8")), {}, "no observation.images.top.*it has .*wrist"),
        (dataclasses.replace(TASK, step_dt=0.05), {}, "10 Hz, and task Task runs at 20 Hz"),
        (dataclasses.replace(TASK, actions=TASK.actions[:1]), {}, "3 numbers in action, and task Task acts by 2: arm"),
        (dataclasses.replace(TASK, actions=(ActionTerm.uniform("a", 3, -0.5, 0.5),)), {}, "from .* 0.625 .*limits"),
        (TASK, {"features": {"observation.state": ["joint"]}}, "the term joint for .* does not observe; it observes"),
        (TASK, {"features": {"a": ["cube"], "b": ["cube"]}}, "names the term cube twice"),
        (TASK, {"features": {"a": ["front", "cube"]}}, "an image beside another term in a"),
        (
            TASK,
            {"features": {"observation.state": ["joints"]}},
            r"no usual place for cube\[2\] of task Task",
        ),
        (TASK, {"features": {"observation.effort": ["cube"]}}, "no observation.effort, where cube"),
        (TASK, {"action": "observation.effort"}, "no observation.effort, its actions"),
        (TASK, {"filter_key": "train"}, "no filter key 'train'; it has none"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(spec, names, words):
    sentence = refused(FIXTURE, spec, DatasetNamesCfg(**names))
    with pytest.raises(ZprlError, match=words):
        raise ZprlError(sentence)


def info(**entries):
    def change(folder):
        values = json.loads((folder / INFO).read_text()) | entries
        (folder / INFO).write_text(json.dumps(values))

    return change


def feature(key, **entries):
    def change(folder):
        values = json.loads((folder / INFO).read_text())
        values["features"][key] |= entries
        (folder / INFO).write_text(json.dumps(values))

    return change


def cut(name, share):
    def change(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return change


def table(name, change_table):
    def change(folder):
        pq.write_table(change_table(pq.read_table(folder / name)), folder / name)

    return change


def column(name, values):
    return lambda rows: rows.set_column(rows.schema.get_field_index(name), name, values(rows.column(name)))


def shorter_video(folder):
    """Leave out the last episode's images, as if they had not been encoded yet."""
    writer = VideoWriter(made.FPS, CAMERA, ENCODINGS["mp4"])
    for episode in range(2):
        writer.add(np.stack([made.image(episode, step, 0) for step in range(made.LENGTHS[episode])]))
    (folder / VIDEO).write_bytes(writer.close())


BROKEN = {
    "no whole number of steps a second": (info(fps=29.97), "29.97 steps a second"),
    "no steps a second": (info(fps=0), "0 steps a second"),
    "steps a second as text": (info(fps="10"), "fps is not a number"),
    "version 2": (info(codebase_version="v2.1"), "version v2.1.* convert it"),
    "no episode": (info(total_episodes=0), "no episode"),
    "another number of episodes": (info(total_episodes=4), "3 of 4 episodes"),
    "another number of steps": (info(total_frames=20), "14 steps together, and says 20"),
    "names of its own": (info(data_path="../{chunk_index:999999999d}"), "a way of its own"),
    "terabytes": (feature("observation.images.wrist", shape=[1 << 20, 1 << 20, 3]), "images of 1048576x1048576x3"),
    "another width": (feature("action", shape=[4]), "4 numbers in action"),
    "a petabyte of steps": (info(total_frames=1 << 50), "more than this machine's memory"),
    "half an info": (cut(INFO, 0.5), "not valid JSON"),
    "no data": (lambda folder: (folder / DATA).unlink(), "does not exist"),
    "no video": (lambda folder: (folder / VIDEO).unlink(), "does not exist"),
    "half the data": (cut(DATA, 0.5), "truncated, damaged or no parquet"),
    "a tenth of the episodes": (cut(EPISODES, 0.1), "truncated, damaged or no parquet"),
    "half a video": (cut(VIDEO, 0.5), "truncated or damaged"),
    "most of a video": (cut(VIDEO, 0.95), "truncated or damaged"),
    "an empty video": (cut(VIDEO, 0), "truncated or damaged"),
    "a video cut short": (shorter_video, "8 of 14 images"),
    "a missing column": (table(DATA, lambda rows: rows.drop_columns(["action"])), "lacks the column action"),
    "missing steps": (table(DATA, lambda rows: rows.slice(0, 12)), "4 of 6 steps of episode 2"),
    "texts": (table(DATA, column("next.reward", lambda c: pa.array(["a"] * len(c)))), "no column next.reward"),
    "a gap": (table(DATA, column("next.reward", lambda c: pa.array([None, *c[1:].to_pylist()]))), "no column next.rew"),
    "NaN": (table(DATA, column("next.reward", lambda c: pa.array([np.nan] * len(c)))), "NaN or infinity"),
    "no image": (
        table(
            DATA, column("observation.images.wrist", lambda c: pa.array([{"bytes": None, "path": "/x.png"}] * len(c)))
        ),
        "lies elsewhere",
    ),
    "half an image": (
        table(DATA, column("observation.images.wrist", lambda c: pa.array([{"bytes": b"\x89PNG\r\n"}] * len(c)))),
        "cannot be read",
    ),
    "a negative file": (
        table(EPISODES, column("data/file_index", lambda c: pa.array([-1] * len(c)))),
        "negative number",
    ),
    "a late file": (
        table(EPISODES, column("data/file_index", lambda c: pa.array([10**9] * len(c)))),
        "in file 1000000000",
    ),
    "an episode twice": (table(EPISODES, column("episode_index", lambda c: pa.array([0, 1, 1]))), "one of them twice"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused(fixture, name):
    change, words = BROKEN[name]
    change(fixture)
    sentence = refused(fixture, TASK)
    assert str(fixture) in sentence
    with pytest.raises(ZprlError, match=words):
        raise ZprlError(sentence)


def test_a_folder_without_a_description_is_none(tmp_path):
    assert "without meta/info.json" in refused(tmp_path, TASK)


@pytest.mark.parametrize("name", [INFO, EPISODES, DATA, VIDEO, "meta/zprl.json"])
def test_a_pickle_in_place_of_a_file_is_refused_unread(fixture, tmp_path, name):
    trace = tmp_path / "trace"
    (fixture / name).write_bytes(pickle.dumps(Evil(trace)))
    refused(fixture, TASK)
    assert not trace.exists()


def test_what_a_table_says_of_its_types_runs_no_code(fixture, tmp_path):
    trace = tmp_path / "trace"
    rows = pq.read_table(fixture / DATA)
    kind = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Evil(trace))}
    fields = [f.with_metadata(kind) if f.name == "next.reward" else f for f in rows.schema]
    pq.write_table(rows.cast(pa.schema(fields, metadata={"pandas": pickle.dumps(Evil(trace))})), fixture / DATA)
    (fixture / "meta/tasks.parquet").write_bytes(pickle.dumps(Evil(trace)))
    assert load_demonstrations(fixture, TASK).episodes[0].rewards.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert not trace.exists()


@pytest.mark.parametrize(
    ("dropped", "successes", "note"),
    [
        (["next.success"], [True, False, True], "it has no next.success: episodes with a next.reward above zero are"),
        (
            ["next.success", "next.reward", "next.done"],
            [True, True, True],
            "it has neither next.success nor next.reward",
        ),
    ],
)
def test_without_a_success_it_is_said_what_counts_as_one(fixture, dropped, successes, note):
    values = json.loads((fixture / INFO).read_text())
    values["features"] = {key: value for key, value in values["features"].items() if key not in dropped}
    (fixture / INFO).write_text(json.dumps(values))
    demos = load_demonstrations(fixture, TASK)
    assert [episode.success for episode in demos.episodes] == successes
    assert demos.notes[-1].startswith(note)
    assert demos.episodes[0].dones.tolist() == [False, False, False, False, True]


# -- absolute actions


def moving(names, follow, scale=0.3):
    """Return a spec and episodes whose actions are where the joints will be at the next step, or changes of them."""
    rng = np.random.default_rng(0)
    spec = TaskSpec("Task", (Group.vector("policy", names),), (ActionTerm.uniform("arm", 3),), 0.1)
    episodes = []
    for _ in range(4):
        seen = rng.normal(size=(40, sum(size for _, size in names))).cumsum(axis=0).astype(np.float32) / 20
        moves = np.diff(seen[:, :3], axis=0, append=seen[-1:, :3])
        actions = np.roll(seen[:, :3], -1, axis=0) + rng.normal(size=(40, 3)) * 0.003 if follow else moves / scale
        actions = actions.clip(-1, 1).astype(np.float32)
        episodes.append(Demonstration({"policy": seen}, actions, np.ones(40), np.zeros(40, bool), True))
    return spec, episodes


@pytest.mark.parametrize(
    ("names", "follow", "refuses"),
    [
        ([("joint_pos", 3), ("cube", 2)], True, True),
        ([("joint_pos", 3), ("cube", 2)], False, False),
        ([("joint_vel", 3), ("cube", 2)], True, False),
    ],
)
def test_actions_that_are_absolute_where_the_task_wants_changes_are_refused(tmp_path, names, follow, refuses):
    spec, episodes = moving(names, follow)
    write_demonstrations(tmp_path / "set", Demonstrations(tmp_path, spec, "given", 0, episodes))
    (tmp_path / "set/meta/zprl.json").unlink()
    load_demonstrations(tmp_path / "set", spec, DatasetNamesCfg(refuse_absolute_actions=False))
    holding = dataclasses.replace(spec, actions=(ActionTerm.uniform("arm", 3, idle=0.5),))
    load_demonstrations(tmp_path / "set", holding)  # such a term takes where to be, and no change
    if refuses:
        assert "3 of the 3 elements of arm are close to joint_pos at the next step" in refused(tmp_path / "set", spec)
    else:
        load_demonstrations(tmp_path / "set", spec)


# -- what this project writes

RICH = dataclasses.replace(
    SPEC,
    groups=(
        *SPEC.groups,
        Group("front", (Feature("rgb", (33, 47, 3), "image", "uint8", renderer="native"),)),
        Group("deep", (Feature("depth", (4, 6, 1), "image"),)),
        Group("gray", (Feature("night", (5, 7, 1), "image", "uint8"),)),
        Group("hidden", (Feature("mass", (1,), "privileged"), Feature("contact", (2, 3), "privileged", history=2))),
        Group.vector("more", [("force", 1)]),
    ),
)


def rich(length, seed):
    rng = np.random.default_rng(seed)

    def numbers(*shape):
        return rng.normal(size=(length, *shape)).astype(np.float32)

    y, x = np.mgrid[:33, :47]
    smooth = np.stack([5 * x, 7 * y, 3 * x + y], axis=-1)[None] + 40 * seed + 9 * np.arange(length)[:, None, None, None]
    seen = {
        "policy": numbers(5),
        "front": (127 + 120 * np.sin(smooth / 90)).astype(np.uint8),
        "deep": numbers(4, 6, 1),
        "gray": rng.integers(256, size=(length, 5, 7, 1), dtype=np.uint8),
        "hidden": numbers(13),
        "more": numbers(1),
    }
    return Demonstration(seen, numbers(3), numbers(), np.arange(length) == length - 1, seed % 2 == 0)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Give an HDF5 file with everything that LeRobot has a place for."""
    path = tmp_path_factory.mktemp("original") / "demos.hdf5"
    env_args = {"env_name": "Lift", "type": 2}
    masks = {"train": [0, 2, 3], "valid": [1]}
    save_demonstrations(path, RICH, [rich(3 + i, i) for i in range(5)], "by hand", 7, env_args, masks)
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_round_trip_gives_the_same_file(original, tmp_path, encoding):
    before = load_demonstrations(original)
    write_demonstrations(tmp_path / "set", before, encoding)
    between = load_demonstrations(tmp_path / "set")
    write_demonstrations(tmp_path / "back.hdf5", between)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["back.hdf5", "set"]
    assert between.notes == ()
    if ENCODINGS[encoding].lossless:
        assert (tmp_path / "back.hdf5").read_bytes() == original.read_bytes()
        return
    for ours, theirs in zip(between.episodes, before.episodes, strict=True):
        for group in ("policy", "deep", "gray", "hidden", "more"):
            assert np.array_equal(ours.observations[group], theirs.observations[group])
        errors = np.abs(ours.observations["front"].astype(int) - theirs.observations["front"]).mean(axis=(1, 2, 3))
        assert errors.max() < 3.0  # the first images of an episode included, whose neighbours in the video are others


def test_the_same_data_make_the_same_files(original, tmp_path):
    demos = load_demonstrations(original)
    for name in "ab":
        write_demonstrations(tmp_path / name, demos, "mp4")
    assert dataset_checksum(tmp_path / "a") == dataset_checksum(tmp_path / "b")
    file = next((tmp_path / "b").rglob("*.mp4"))
    file.rename(file.with_name("file-001.mp4"))
    assert dataset_checksum(tmp_path / "a") != dataset_checksum(tmp_path / "b")


def test_what_is_written_is_laid_out_as_lerobot_does_it(tmp_path):
    demos = load_demonstrations(FIXTURE, TASK)
    write_demonstrations(tmp_path / "set", demos, "mp4")
    write_demonstrations(tmp_path / "png", demos, "png")
    theirs, ours = (json.loads((folder / INFO).read_text()) for folder in (FIXTURE, tmp_path / "set"))
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - {"features"}:
        assert ours[key] == theirs[key], key
    assert ours["features"].keys() == theirs["features"].keys()
    for key, value in ours["features"].items():
        assert value["shape"] == theirs["features"][key]["shape"], key
        kind = "video" if key == "observation.images.wrist" else theirs["features"][key]["dtype"]
        assert value["dtype"] == kind, key
    assert ours["features"]["observation.state"]["names"] == ["joints.0", "joints.1", "joints.2", "cube.0", "cube.1"]
    for name in (EPISODES, "meta/tasks.parquet"):
        fields = {field.name: field.type for field in pq.read_schema(FIXTURE / name)}
        wrist = {f.replace("front", "wrist"): t for f, t in fields.items() if f.startswith("videos/")}
        assert {field.name: field.type for field in pq.read_schema(tmp_path / "set" / name)} == fields | wrist
    assert pq.read_schema(tmp_path / "png" / DATA).field("observation.images.wrist") == pq.read_schema(
        FIXTURE / DATA
    ).field("observation.images.wrist")
    rows = {field.name: field.type for field in pq.read_schema(FIXTURE / DATA) if "images" not in field.name}
    assert {field.name: field.type for field in pq.read_schema(tmp_path / "set" / DATA)} == rows
    before, after = (pq.read_table(folder / DATA) for folder in (FIXTURE, tmp_path / "set"))
    for key in rows:
        assert after.column(key).to_pylist() == before.column(key).to_pylist(), key
    numbers = [name for name in pq.read_schema(FIXTURE / EPISODES).names if not name.startswith(("stats", "tasks"))]
    before, after = (pq.read_table(folder / EPISODES, columns=numbers) for folder in (FIXTURE, tmp_path / "set"))
    assert after.to_pydict() == before.to_pydict()
    assert pq.read_metadata(tmp_path / "set" / DATA).num_row_groups == 3
    # Pandas, by which LeRobot reads it, names the rows by the instruction.
    index = json.loads(pq.read_schema(tmp_path / "set/meta/tasks.parquet").metadata[b"pandas"])
    theirs = json.loads(pq.read_schema(FIXTURE / "meta/tasks.parquet").metadata[b"pandas"])
    assert index["index_columns"] == theirs["index_columns"]


def test_statistics_are_those_of_lerobot(tmp_path):
    write_demonstrations(tmp_path / "set", load_demonstrations(FIXTURE, TASK))
    theirs, ours = (json.loads((folder / "meta/stats.json").read_text()) for folder in (FIXTURE, tmp_path / "set"))
    assert ours.keys() == theirs.keys()
    for key in theirs:
        assert ours[key].keys() == theirs[key].keys()
        for name, value in theirs[key].items():
            assert np.shape(ours[key][name]) == np.shape(value), (key, name)
            if name in ("min", "max", "mean", "std", "count"):
                tolerance = 0.03 if "front" in key else 1e-4  # of a video that was read back, and a histogram's bins
                assert np.allclose(ours[key][name], value, atol=tolerance), (key, name)
    wrist = np.stack([made.image(e, s, 1) for e, length in enumerate(made.LENGTHS) for s in range(length)]) / 255.0
    for name, share in (("q01", 0.01), ("q50", 0.5), ("q99", 0.99)):
        exact = np.quantile(wrist.reshape(-1, 3), share, axis=0, method="inverted_cdf")
        assert np.ravel(ours["observation.images.wrist"][name]) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step_dt": 0.03}, "runs at 33.3333 Hz, and LeRobot's data sets are of a whole number"),
        ({"step_dt": 2.0}, "runs at 0.5 Hz"),
        ({"groups": (Group("film", (Feature("rgb", (4, 6, 3), "image", "uint8", history=2),)),)}, "has no place"),
        ({"groups": (Group("rgbd", (Feature("rgbd", (4, 6, 4), "image", "uint8"),)),)}, "has no place"),
    ],
)
def test_what_lerobot_has_no_place_for_is_not_written(tmp_path, change, words):
    spec = dataclasses.replace(SPEC, **change)
    seen = {group.name: np.zeros((2, *group.shape), group.features[0].dtype) for group in spec.groups}
    episode = Demonstration(seen, np.zeros((2, 3), np.float32), np.zeros(2), np.zeros(2, bool), True)
    with pytest.raises(ZprlError, match=words):
        write_demonstrations(tmp_path / "set", Demonstrations(tmp_path, spec, "given", 0, [episode]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("length", "words"), [(0, "demonstration 0 holds no step"), (None, "holds no demonstration")])
def test_nothing_is_not_written(tmp_path, length, words):
    seen = {group.name: np.zeros((length or 0, *group.shape), np.float32) for group in SPEC.groups}
    nothing = np.zeros((0, 3), np.float32)
    episodes = [] if length is None else [Demonstration(seen, nothing, nothing[:, 0], nothing[:, 0] > 0, True)]
    with pytest.raises(ZprlError, match=words):
        write_demonstrations(tmp_path / "set", Demonstrations(tmp_path, SPEC, "given", 0, episodes))
    assert list(tmp_path.iterdir()) == []


def ours(**entries):
    def change(folder):
        path = folder / "meta/zprl.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (ours(num_demos=4), "something else has changed it; remove that file"),
        (ours(format_version=1), "format version 1"),
        (ours(spec={}), "lacks the entry"),
        (ours(masks={"train": [5]}), "masks.train names an episode that is not there"),
        (ours(masks={"train": ["demo_1"]}), r"masks|train\[0\] is not a whole number"),
        (ours(env_args=[]), "env_args is no object"),
        (info(fps=40), "40 Hz, and task Zprl-Lift-Franka runs at 50 Hz"),
        (table(DATA, column("action", lambda c: pa.array(1e4 * np.ones(len(c))))), "no column action of 3 numbers"),
    ],
)
def test_an_own_data_set_that_was_changed_is_refused(original, tmp_path, change, words):
    write_demonstrations(tmp_path / "set", load_demonstrations(original), "mp4")
    load_demonstrations(tmp_path / "set")
    change(tmp_path / "set")
    with pytest.raises(ZprlError, match=words):
        raise ZprlError(refused(tmp_path / "set"))


@pytest.mark.parametrize("package", ["pyarrow", "pyarrow.parquet", "av"])
def test_a_missing_package_is_said_with_its_extra(original, tmp_path, monkeypatch, package):
    demos = load_demonstrations(original)
    monkeypatch.setitem(sys.modules, package, None)
    name = package.partition(".")[0]
    words = rf"need the package {name}; install it with `pip install 'zprl\[lerobot\]'`"
    with pytest.raises(NotInstalledError, match=words):
        load_demonstrations(FIXTURE, TASK)
    with pytest.raises(NotInstalledError, match=words):
        write_demonstrations(tmp_path / "set", demos, "mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_leaves_what_was_there(original, tmp_path, monkeypatch, before):
    demos = load_demonstrations(original)
    if before:
        write_demonstrations(tmp_path / "set", load_demonstrations(FIXTURE, TASK))
    content, calls = before and dataset_checksum(tmp_path / "set"), []

    def fail(descriptor):
        calls.append(descriptor)
        if len(calls) == 5:  # every other one is of a folder, and may fail
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as error:
        write_demonstrations(tmp_path / "set", demos, "mp4")
    assert error.value.filename == str(tmp_path / "set")
    assert [file.name for file in tmp_path.iterdir()] == ["set"] * before
    assert not before or dataset_checksum(tmp_path / "set") == content


def test_a_kill_leaves_the_old_data_set_and_the_next_one_cleans_up(original, tmp_path, monkeypatch):
    write_demonstrations(tmp_path / "set", load_demonstrations(FIXTURE, TASK))
    content = dataset_checksum(tmp_path / "set")
    demos = load_demonstrations(original)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("zprl.data.lerobot.writing._Writer._write_meta", lambda *_: os._exit(9))
        with contextlib.suppress(BaseException):
            write_demonstrations(tmp_path / "set", demos)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert dataset_checksum(tmp_path / "set") == content
    (left,) = tmp_path.glob(".set.*.tmp")
    assert (left / DATA).is_file()
    os.utime(left, (0, 0))
    write_demonstrations(tmp_path / "set", demos)
    assert [file.name for file in tmp_path.iterdir()] == ["set"]
    assert load_demonstrations(tmp_path / "set").num_demos == 5
