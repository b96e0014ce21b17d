# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The command that converts demonstrations, and data sets of others on their way into a training."""

import contextlib
import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.data.test_demonstrations import SEEING, make_episode
from tests.data.test_lerobot import FIXTURE, RICH, rich
from tests.data.test_lerobot import TASK as SPEC

from zprl.commands import convert_demos
from zprl.data import load_demonstrations, save_demonstrations
from zprl.data.lerobot import ENCODINGS
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.runs import foreign_data
from zprl.utils.errors import ZprlError

from .conftest import TASK, call, files_below

pytestmark = pytest.mark.sim


@pytest.fixture
def demos(tmp_path):
    path = tmp_path / "demos.hdf5"
    episodes = [rich(3 + i, i) for i in range(3)]
    save_demonstrations(path, RICH, episodes, env_args={"env_name": "Lift"}, masks={"train": [0, 1], "valid": [2]})
    return path


class Session:
    """Stands for a task's session, which is asked for its spec at most once."""

    started = 0

    def __init__(self, task, device="cpu", overrides=()):
        self.task, self.agent_cfg, self.env_cfg = task, ZprlRunnerCfg(), None
        self.agent_cfg.policy.observation_groups = ("policy", "front", "wrist")

    def launched(self, viz=None):
        return contextlib.nullcontext(self)

    def environment(self, num_envs):
        Session.started += 1
        return contextlib.nullcontext(SimpleNamespace(spec=SPEC))


@pytest.fixture
def session(monkeypatch):
    """Give a session whose environment has no settings."""
    monkeypatch.setattr("zprl.runs.session.TaskSession", Session)
    monkeypatch.setattr("zprl.runs.paths.env_settings", lambda cfg: {})
    monkeypatch.setattr(Session, "started", 0)
    return Session(SPEC.task)


def test_the_encodings_that_are_offered_are_those_there_are():
    (field,) = (f for f in convert_demos.ConvertDemosOptions.__dataclass_fields__.values() if f.name == "images")
    assert set(field.metadata["choices"]) == set(ENCODINGS)


@pytest.mark.parametrize("images", [[], ["--images", "mp4-lossless"]])
def test_there_and_back_again(demos, tmp_path, images):
    there = call("convert_demos", ["demos.hdf5", "set", *images], tmp_path)
    kind = images[1] if images else "png"
    words = f"demonstrations: 3 of task Zprl-Lift-Franka, 2 succeed, 12 steps, written to set, images as {kind}\n"
    assert (there.status, there.error_lines, there.out) == (0, [], words)
    back = call("convert_demos", ["set", "again.hdf5"], tmp_path)
    assert (back.status, back.error_lines) == (0, [])
    assert (tmp_path / "again.hdf5").read_bytes() == demos.read_bytes()
    part = call("convert_demos", ["set", "part.h5", "--filter_key", "valid"], tmp_path)
    assert part.out.startswith("demonstrations: 1 of task")


def test_states_that_are_environment_state_come_back_where_they_were(demos, tmp_path):
    names = [feature.name for feature in RICH.groups[0].features]
    there = call("convert_demos", ["demos.hdf5", "set", "--environment_state", f"{names[-1]},force"], tmp_path)
    assert (there.status, there.error_lines) == (0, [])
    features = json.loads((tmp_path / "set" / "meta" / "info.json").read_text())["features"]
    columns = {
        key: {name.partition(".")[0] for name in features[f"observation.{key}"]["names"]}
        for key in ("state", "environment_state")
    }
    assert columns == {"state": set(names[:-1]), "environment_state": {names[-1], "force", "mass", "contact"}}
    assert call("convert_demos", ["set", "again.hdf5"], tmp_path).status == 0
    assert (tmp_path / "again.hdf5").read_bytes() == demos.read_bytes()


def test_a_data_set_of_others_is_read_by_the_names_of_a_task(session, tmp_path):
    outcome = call("convert_demos", [str(FIXTURE), "demos.hdf5", "--task", "Task"], tmp_path)
    assert (outcome.status, outcome.error_lines) == (0, [])
    assert f"data set {FIXTURE}: observation.state is joints[3], cube[2]\n" in outcome.out
    demos = load_demonstrations(tmp_path / "demos.hdf5")
    assert (demos.task, demos.num_demos, demos.num_successes) == ("Task", 3, 2)
    assert demos.env_args == {"env_name": "Task", "type": 2, "env_kwargs": {}}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["none.hdf5", "new"], "the demonstration file none.hdf5 does not exist"),
        (
            ["demos.hdf5", "new", "--environment_state", "nose"],
            "nose is no state of task Zprl-Lift-Franka, which could",
        ),
        (["demos.hdf5", "new.hdf5", "--environment_state", "force"], "--environment_state is of LeRobot's form"),
        (["empty", "demos2.hdf5"], "empty is a folder without meta/info.json"),
        (["demos.hdf5", "demos.hdf5"], "B demos.hdf5 would replace the demonstration file demos.hdf5, which is read"),
        (["set", "set", "--force"], "B set would replace the data set set, which is read"),
        (["demos.hdf5", "set"], "B set is not empty; name another folder or pass --force"),
        (["demos.hdf5", "things", "--force"], "B things holds no data set of LeRobot, and --force only replaces one"),
        (["demos.hdf5", "text.txt"], "B text.txt is a file, and its name does not end in .hdf5"),
        (["foreign", "new.hdf5"], "the data set foreign does not say what was observed and done; pass --task"),
        (
            ["demos.hdf5", "new", "--task", "Zprl-Can-Franka"],
            "belongs to task Zprl-Lift-Franka, not to Zprl-Can",
        ),
        (["demos.hdf5", "new", "env.seed=1"], "says its own names, so no setting of a task counts; drop env.seed=1"),
        (["demos.hdf5", "new", "--filter_key", "test"], "no filter key 'test'; it has train, valid"),
        (["film.hdf5", "new"], "the image depth[4x6x1, 2 steps, image] of task Zprl-Lift-Franka has no place"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(demos, tmp_path, argv, words):
    assert call("convert_demos", ["demos.hdf5", "set"], tmp_path).status == 0
    shutil.copytree(FIXTURE, tmp_path / "foreign")
    save_demonstrations(tmp_path / "film.hdf5", SEEING, [make_episode(4)])
    (tmp_path / "empty").mkdir()
    (tmp_path / "things").mkdir()
    for name in ("things/precious.txt", "text.txt"):
        (tmp_path / name).write_text("precious")
    before = files_below(tmp_path)
    outcome = call("convert_demos", argv, tmp_path)
    (line,) = outcome.error_lines
    assert outcome.status == 2 and line.startswith("error: ") and words in line
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(("output", "force"), [("out.hdf5", []), ("set", ["--force"])])
def test_a_link_stays_and_what_it_leads_to_is_written(demos, tmp_path, output, force):
    (tmp_path / "disk").mkdir()
    (tmp_path / output).symlink_to(f"disk/{output}")
    for _ in range(2):
        outcome = call("convert_demos", ["demos.hdf5", output, *force], tmp_path)
        assert (outcome.status, outcome.error_lines) == (0, [])
    assert (tmp_path / output).is_symlink() and load_demonstrations(tmp_path / "disk" / output).num_demos == 3
    assert os.listdir(tmp_path / "disk") == [output]


@pytest.mark.parametrize("output", ["out.hdf5", "set"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(demos, tmp_path, output, monkeypatch):
    before = files_below(tmp_path)

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    outcome = call("convert_demos", ["demos.hdf5", output], tmp_path)
    (line,) = outcome.error_lines
    assert outcome.status == 2 and line.startswith(f"error: no space left on device while writing {output}; ")
    assert files_below(tmp_path) == before and not (tmp_path / output).exists()


# -- on the way into a training


def test_a_training_imports_a_data_set_of_others_once(session, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = foreign_data.import_dataset(session, FIXTURE)
    assert path == foreign_data.own_form(session, FIXTURE) and path.is_relative_to(Path("datasets/Task"))
    assert load_demonstrations(path).spec == SPEC
    assert "action is arm[2], gripper[1]" in capsys.readouterr().out
    assert foreign_data.import_dataset(session, FIXTURE) == path and Session.started == 1
    assert capsys.readouterr().out == f"demonstrations: found {FIXTURE} as {path}\n"
    session.agent_cfg.dataset_names.features = {"observation.state": ["joints", "cube"]}
    assert foreign_data.own_form(session, FIXTURE) != path  # it is read by other names


def test_what_is_ours_is_read_where_it_is_and_a_folder_needs_no_simulator(session, demos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert foreign_data.import_dataset(session, demos) == demos
    assert call("convert_demos", ["demos.hdf5", "set"], tmp_path).status == 0
    path = foreign_data.import_dataset(session, Path("set"))
    assert path.read_bytes() == demos.read_bytes() and Session.started == 0
    session.agent_cfg.dataset_names.filter_key = "valid"
    part = load_demonstrations(foreign_data.import_dataset(session, demos))
    assert part.num_demos == 1 and np.array_equal(part.episodes[0].actions, rich(5, 2).actions)


def test_a_task_has_names_as_a_setting():
    from zprl.runs.session import TaskSession

    names = {"observation.state": ["joint_pos", "ee_pose"], "observation.environment_state": ["object_pose"]}
    overrides = [f"agent.dataset_names.features={json.dumps(names)}", "agent.dataset_names.filter_key=train"]
    cfg = TaskSession(TASK, overrides=overrides).agent_cfg.dataset_names
    assert (cfg.features, cfg.filter_key, cfg.refuse_absolute_actions) == (names, "train", True)
    with pytest.raises(ZprlError, match=r"agent\.dataset_names\.features must be"):
        TaskSession(TASK, overrides=['agent.dataset_names.features={"observation.state":"joint_pos"}'])
