# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Folders of runs: whose they are, where they can lie, and which was trained last."""

import concurrent.futures
import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from zprl.rl.checkpoint_files import checkpoint_path
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.runs import paths
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def one_second(monkeypatch):
    """Let all runs begin in the same second."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(paths, "datetime", Clock)


def test_runs_of_the_same_second_get_folders_of_their_own(one_second):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: paths.new_run_dir("lift", "a"), range(16)))
    assert len(set(made)) == 16 and all(path.is_dir() for path in made)
    assert {path.name for path in made} == {
        "2026-01-02_03-04-05_a",
        *(f"2026-01-02_03-04-05_a-{i}" for i in range(1, 16)),
    }


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "..", ""])
def test_no_name_leads_out_of_the_logs(name, working_folder):
    for make in (lambda: paths.new_run_dir(name), lambda: paths.latest_checkpoint("Task", name)):
        with pytest.raises(ZprlError, match=r"^agent.experiment_name is '.*', which cannot name a folder;"):
            make()
    if name:
        with pytest.raises(ZprlError, match=r"^agent.run_name is "):
            paths.new_run_dir("lift", name)
    assert list(working_folder.iterdir()) == []


@pytest.mark.parametrize("given", [Path("mine"), None])
def test_a_claimed_folder_is_held_and_goes_again_if_nothing_was_written(given, one_second):
    with pytest.raises(ValueError), paths.claimed_run_dir(given, "lift") as folder:
        with (
            pytest.raises(ZprlError, match=f"^another training is writing to {folder}; wait for it or stop it, or"),
            paths.claimed_run_dir(folder, "lift"),
        ):
            pass
        assert folder.is_dir()
        raise ValueError("the settings are refused")
    assert not folder.exists()
    with pytest.raises(ValueError), paths.claimed_run_dir(given, "lift") as again:
        (again / "run.json").touch()
        raise ValueError("later")
    assert again == folder
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_a_claimed_folder_is_free_of_what_a_kill_left():
    left = [Path("mine/.model_4.safetensors.abc.tmp"), Path("mine/base/.base_policy.safetensors.abc.tmp")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with atomic_write("mine/report.json"), paths.claimed_run_dir(Path("mine"), "lift"):
        assert not any(path.exists() for path in left)
        assert len(list(Path("mine").glob(".report.json.*.tmp"))) == 1, "it is being written"


def make_run(name, written, *iterations, task="Task"):
    """Make a run's folder as it stands after some checkpoints, the last of which is ``written`` [s] old."""
    run = paths.experiment_dir("lift") / name
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"task": task}))
    os.utime(run / "run.json", (written - 1, written - 1))
    for iteration in iterations:
        path = checkpoint_path(run, iteration)
        path.touch()
        os.utime(path, (written, written))
    return run


def test_latest_is_what_was_trained_last_wherever_it_began():
    make_run("2026-01-01_00-00-00", 100, 10)
    continued = make_run("2025-01-01_00-00-00", 200, 90, 100)
    make_run("zzz", 50, 10)
    make_run("2026-02-02_00-00-00", 300, 10, task="Other")
    assert paths.latest_checkpoint("Task", "lift") == checkpoint_path(continued, 100)


def test_latest_does_not_silently_take_an_older_run():
    make_run("2026-01-01_00-00-00", 100, 10)
    killed = make_run("2026-01-02_00-00-00", 200)
    with pytest.raises(
        ZprlError, match=f"started last, {killed}, has no checkpoint yet; .* `train --run_dir {killed}`"
    ):
        paths.latest_checkpoint("Task", "lift")


def test_a_manifest_that_is_no_object_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest = paths.experiment_dir("lift") / "run" / "run.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("[]")
    with pytest.raises(ZprlError, match=r"the run manifest .*run\.json is incomplete .* \(the file is no object\)"):
        paths.latest_checkpoint("Zprl-Lift-Franka", "lift")


def test_a_base_policys_key_depends_on_the_content_of_the_weights_that_it_begins_with(tmp_path):
    data, weights, cfg = tmp_path / "mixed_1_a.hdf5", tmp_path / "weights.safetensors", ZprlRunnerCfg()
    data.write_bytes(b"data")

    def key(content):
        weights.write_bytes(content)
        return paths.base_policy_path("Toy", cfg, data)

    without = key(b"one")
    cfg.pretrain.eval_interval, cfg.pretrain.eval_episodes = 50, 7  # only look at what is trained
    assert key(b"one") == without
    cfg.pretrain.encoder_weights = str(weights)
    assert key(b"one") == key(b"one") != without
    assert key(b"two") != key(b"one")
    weights.unlink()
    with pytest.raises(ZprlError, match=r"encoder weights .*weights\.safetensors does not exist"):
        paths.base_policy_path("Toy", cfg, data)
