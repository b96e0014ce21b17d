# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A task's page against the run and the settings that it is made from."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.evaluation.test_summary import result

from zprl.envs.description import CameraDescription
from zprl.rl.checkpoint_files import checkpoints
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.runs.task_page import describe_camera, describe_value, finished_runs
from zprl.utils.errors import ZprlError

from .conftest import EXPERIMENT, TASK, TASK_SETTINGS, call, files_below

pytestmark = pytest.mark.sim


def table_of(text, heading):
    """Return the rows of the first table below a heading, by their first cell."""
    below = text.partition(f"{heading}\n")[2].splitlines()
    start = next(i for i, line in enumerate(below) if line.startswith("| ---"))
    rows = [line.strip("| ").split(" | ") for line in below[start + 1 :][: 1 + len(below)]]
    end = next((i for i, row in enumerate(rows) if row == [""]), len(rows))
    return {row[0].strip("`"): row[1:] for row in rows[:end]}


@pytest.fixture(scope="module")
def documented(workshop, tmp_path_factory):
    """Give the page of the workshop's run, its folder, and what the command said; the camera sees next to nothing."""
    folder = tmp_path_factory.mktemp("documented")
    arguments = ["--task", TASK, "--output", str(folder / "lift.md"), *TASK_SETTINGS]
    with pytest.MonkeyPatch.context() as patch:
        noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        patch.setattr("zprl.sim.isaaclab.camera.capture", lambda env: noise)
        outcome = call("document_task", arguments, workshop.folder)
    assert (outcome.status, outcome.error_lines) == (0, [])
    return folder / "lift.md", outcome


def test_it_says_what_the_settings_are(documented):
    text = documented[0].read_text()
    facts = table_of(text, "## Facts")
    assert facts["time limit"] == ["2.5 s, 50 control steps"] and facts["control rate"] == ["20 Hz"]
    assert facts["physics"] == ["mujoco, 10 ms, 5 steps per control step"]
    for term, size in {"joint_pos": 9, "ee_pose": 9, "object_pose": 9, "object_in_ee_frame": 3}.items():
        assert f"| `policy` | `{term}` | {size} | " in text
    actions = table_of(text, "### Actions")
    assert actions["arm_action"][:3] == ["6", "-1 to 1", "0"]
    assert actions["gripper_action"][:3] == ["1", "-1 to 1", "0"]
    assert table_of(text, "### Success") == {"minimal_height": ["0.05"]}
    placed = table_of(text, "### Drawn at every reset")["reset_object"][1]
    assert "`x_range` 0.42 to 0.58" in placed and "`yaw_range` -0.78 to 0.78" in placed
    assert "`randomize_heavy` | `object_mass` | `asset_cfg` object, `mass_distribution_params` 0.25 to 4" in text
    assert "Lift a cube off the table, by its centre to 0.15 m, within 4 s." in text
    assert table_of(text, "## Expert")["action_std"] == ["0.215", "0.215"]


def test_a_camera_is_described_in_words():
    camera = CameraDescription("rgb", 0, 255, 32.0, 32.0, 32.0, 24.0, None, [1.05, 0.0, 0.5], [0, 0, 0, 1], "native")
    assert describe_camera(camera) == (
        "colours, by a camera at (1.05, 0, 0.5) m, 90 degrees wide, drawn by the native renderer"
    )
    camera = dataclasses.replace(camera, content="depth", body="robot/panda_hand", fx=32.0 / 3**0.5)
    assert describe_camera(camera).startswith("depth in m, by a camera on robot/panda_hand, 120 degrees wide")


def test_parameters_of_several_things_are_told_apart():
    places = {"cube": {"low": (0.1 + 0.2, 0.0, 1.0), "release_distance": 0.04}, "lid": {"range": (-1.0, 1.0)}}
    assert describe_value(places) == "cube: `low` (0.3, 0, 1), `release_distance` 0.04; lid: `range` -1 to 1"


def test_it_has_the_numbers_and_the_pictures_of_the_run(documented, workshop):
    page, outcome = documented
    done, text = workshop.result, page.read_text()
    row = table_of(text, "## Results")[f"seed {done['seed']}"]
    for cell, policy in zip(row, ("base", "steered"), strict=False):
        assert cell.startswith(f"{100 * done[policy]['rate']:.1f} % [{100 * done[policy]['low']:.1f}, ")
    assert row[3] == f"{done['environment_steps']:,}"
    assert f"{done['base']['episodes']} episodes" in text
    for name in (f"{TASK}_learning_curves.png", f"{TASK}.gif"):
        assert f"](images/{name})" in text
        with Image.open(page.parent / "images" / name) as picture:
            assert picture.width > 0
    assert (page.parent / "images" / f"{TASK}.gif").stat().st_size <= 1_000_000
    assert outcome.out == f"written to {page}, with the results of 1 runs\n"


def test_what_is_written_by_hand_stays_and_results_whose_runs_are_gone(documented, tmp_path):
    page = tmp_path / "docs" / "tasks" / f"{TASK}.md"
    page.parent.mkdir(parents=True)
    text = documented[0].read_text().replace("<!-- generated: expert -->", "By hand.\n\n<!-- generated: expert -->")
    page.write_text(text.replace("time limit", "to be written anew") + "\nThe end, by hand.\n")
    outcome = call("document_task", ["--task", TASK, *TASK_SETTINGS], tmp_path)
    assert (outcome.status, outcome.error_lines) == (0, [])
    assert page.read_text() == text + "\nThe end, by hand.\n"
    assert "the page keeps the results that it has" in outcome.out


def test_what_is_no_page_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("# Mine\n")
    before = files_below(tmp_path)
    outcome = call("document_task", ["--task", TASK, "--output", "README.md"], tmp_path)
    (line,) = outcome.error_lines
    assert outcome.status == 2 and files_below(tmp_path) == before
    assert line.startswith(
        "error: README.md is no page that this command can go on with (it holds no generated section)"
    )


def test_runs_are_the_tasks_own_of_its_learner_by_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kinds = {"b": {"seed": 2}, "c": {"seed": 1, "method": "zprl", "algo": "ppo"}, "d": {"algo": "sac"}}
    kinds |= {"e": {"method": "noise"}, "f": {"task": "Other"}, "a": {"seed": 2}}
    for name, settings in kinds.items():
        (tmp_path / EXPERIMENT / name).mkdir(parents=True)
        (tmp_path / EXPERIMENT / name / "result.json").write_text(json.dumps({**result(0), **settings}))
    (tmp_path / EXPERIMENT / "unfinished").mkdir()

    def found(**settings):
        return [run.name for run in finished_runs(TASK, ZprlRunnerCfg(experiment_name=EXPERIMENT.name, **settings))]

    assert found() == ["c", "a", "b"]
    assert found(algo="sac") == ["d"]
    assert finished_runs(TASK, ZprlRunnerCfg(experiment_name="nothing")) == []
    (tmp_path / EXPERIMENT / "a" / "result.json").write_text("{}")
    with pytest.raises(ZprlError, match="result of a run"):
        found()


def test_a_run_without_a_checkpoint_is_shown_without_a_video(workshop, tmp_path):
    assert checkpoints(workshop.folder / workshop.run)
    shutil.copytree(workshop.folder / workshop.run, tmp_path / workshop.run, ignore=shutil.ignore_patterns("model_*"))
    outcome = call("document_task", ["--task", TASK, *TASK_SETTINGS], tmp_path)
    assert (outcome.status, outcome.error_lines) == (0, [])
    assert sorted(path.name for path in (tmp_path / "docs" / "tasks" / "images").iterdir()) == [
        f"{TASK}_learning_curves.png"
    ]
    assert ".gif" not in (tmp_path / "docs" / "tasks" / f"{TASK}.md").read_text()
