# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Recording of demonstrations in the simulator: what the file holds, and that it is complete or absent."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from zprl.data import load_demonstrations
from zprl.spec import Group, TaskSpec

pytestmark = pytest.mark.sim

TASK = "Zprl-Lift-Franka"
TERMS = [("joint_pos", 9), ("ee_pose", 9), ("object_pose", 9), ("object_in_ee_frame", 3)]
NUM_DEMOS = 6
SCRIPT = Path(__file__).parents[2] / "scripts" / "collect_demos.py"


def collect(path, seed=0, num_demos=NUM_DEMOS, worlds=4):
    """Record demonstrations of the imperfect expert, ``worlds`` at a time."""
    from zprl.runs import base_policy
    from zprl.runs.session import TaskSession
    from zprl.sim.isaaclab import recording

    session = TaskSession(TASK)
    demos = session.agent_cfg.demonstrations
    demos.num_demos, demos.quality, demos.seed = num_demos, "mixed", seed
    with pytest.MonkeyPatch.context() as patch, session.launched():
        patch.setattr(recording, "MAX_PARALLEL_DEMOS", worlds)
        return base_policy.collect(session, path)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Give a data set of two waves, and what its collection returned."""
    path = tmp_path_factory.mktemp("demonstrations") / "demos.hdf5"
    return path, collect(path)


def content(path):
    """Return {name: array or attributes} of everything in an HDF5 file."""
    found = {}
    with h5py.File(path) as file:

        def visit(name, item):
            found[name] = item[()].tobytes() if isinstance(item, h5py.Dataset) else None
            found[f"{name}:"] = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}

        file.visititems(visit)
    return found


def test_same_seed_same_file_and_another_seed_another_one(recording, tmp_path):
    path, _ = recording
    collect(tmp_path / "same.hdf5")
    assert content(tmp_path / "same.hdf5") == content(path)
    assert (tmp_path / "same.hdf5").read_bytes() == path.read_bytes()
    collect(tmp_path / "other.hdf5", seed=1, num_demos=1)
    ours, other = (load_demonstrations(file).episodes[0] for file in (path, tmp_path / "other.hdf5"))
    assert not np.array_equal(ours.observations["policy"][0], other.observations["policy"][0])
    assert not np.array_equal(ours.actions[0], other.actions[0])


def test_every_episode_is_kept_and_labelled(recording):
    path, result = recording
    demos = load_demonstrations(path)
    assert demos.num_demos == result["num_demos"] == NUM_DEMOS
    assert demos.num_successes == result["successes"]
    assert 0 < result["successes"] < NUM_DEMOS, "the imperfect expert should fail at times"
    assert demos.num_steps == result["env_steps"]
    for episode in demos.episodes:
        # One unit of reward in the step that succeeds, which is the last one; a failure runs into the time limit.
        assert episode.rewards.sum() == pytest.approx(float(episode.success))
        assert episode.rewards[-1] == pytest.approx(float(episode.success))
        assert episode.dones[-1]
        assert not episode.dones[:-1].any()
        assert episode.success == (len(episode.actions) < 80)
        assert len(episode.observations["policy"]) == len(episode.actions)
    # Waves begin with other initial states, also in the same world.
    assert len({episode.observations["policy"][0].tobytes() for episode in demos.episodes}) == NUM_DEMOS


def test_file_opens_as_robomimic_opens_it(recording):
    path, _ = recording
    with h5py.File(path) as file:
        data = file["data"]
        assert isinstance(data, h5py.Group)
        assert sorted(data) == [f"demo_{i}" for i in range(NUM_DEMOS)]
        assert json.loads(str(data.attrs["env_args"]))["env_name"] == TASK
        spec = TaskSpec.from_dict(json.loads(str(data.attrs["zprl"]))["spec"])
        assert spec.task == TASK
        assert spec.group("policy") == Group.vector("policy", TERMS)
        lengths = [int(str(data[f"demo_{i}"].attrs["num_samples"])) for i in range(NUM_DEMOS)]
        assert data.attrs["total"] == sum(lengths)
        for i, length in enumerate(lengths):
            demo = data[f"demo_{i}"]
            assert isinstance(demo, h5py.Group)
            assert set(demo) == {"initial_state", "obs", "next_obs", "actions", "rewards", "dones"}
            for key in ("obs", "next_obs"):
                shapes = {name: demo[f"{key}/{name}"].shape for name in demo[key]}  # pyright: ignore
                assert shapes == {name: (length, width) for name, width in TERMS}
            assert demo["actions"].shape == (length, 7)  # pyright: ignore


def test_an_observation_is_what_was_seen_before_its_action(recording):
    path, _ = recording
    with h5py.File(path) as file:
        demo = file["data/demo_5"]
        # The first observation is the recorded initial state, up to the observation noise of 2 mm.
        cube = demo["initial_state/rigid_object/object/root_pose"][0, :3]  # pyright: ignore
        seen = demo["obs/object_pose"][0, :3]  # pyright: ignore
        assert np.abs(seen - cube).max() <= 0.0021  # pyright: ignore
    demos = load_demonstrations(path)
    place = demos.spec.group("policy").slices()["object_pose"]
    for episode in demos.episodes:
        if episode.success:
            # The cube passes 0.15 m in the last step, so it was below before.
            height = episode.observations["policy"][-1, place.start + 2]
            assert 0.10 < height < 0.15 + 0.0021


def test_the_last_next_observation_is_the_one_after_the_last_action(recording):
    path, _ = recording
    with h5py.File(path) as file:
        for demo in file["data"].values():  # pyright: ignore
            seen, following = demo["obs/object_pose"], demo["next_obs/object_pose"]
            assert (following[:-1] == seen[1:]).all()
            # A success is a cube above 0.15 m, up to the observation noise; a new episode would find it on the table.
            assert (following[-1, 2] > 0.15 - 0.0021) == demo.attrs["success"]


def test_interrupted_collection_leaves_nothing_behind(tmp_path, monkeypatch):
    from zprl.utils.progress import Progress

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path / "demos.hdf5", num_demos=4)
    assert list(tmp_path.iterdir()) == []


# Runs a script, but is killed when the first episode has been recorded.
KILLED_WHILE_RECORDING = """
import os, runpy, signal, sys
from zprl.utils.progress import Progress
Progress.advance = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_killed_collection_leaves_no_data_set(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_RECORDING, SCRIPT, "--task", TASK, "--num_demos", "4"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
