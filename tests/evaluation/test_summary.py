# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import json
from dataclasses import asdict

import pytest
from tests.crafted import spoilt

from zprl.evaluation.plots import LearningHistory
from zprl.evaluation.report import runs_table, summarize
from zprl.utils.errors import ZprlError


def result(seed, task="Zprl-Lift-Franka"):
    """Return a finished run's result with easy numbers."""
    history = LearningHistory([100, 200], [1.0, 2.0], [0.4, 0.6], [200], [9], [10])
    base = {"rate": 0.5, "low": 0.24, "high": 0.76, "jerk": 10.0, "successes": 5, "episodes": 10}
    return {
        "task": task,
        "seed": seed,
        "base": base,
        "steered": {**base, "rate": 0.9, "low": 0.6, "high": 0.98, "jerk": 12.0},
        "environment_steps": 200,
        "minutes": 2.0,
        "total_minutes": 5.0,
        "time_split": {"simulation": 0.9},
        "training_steps_per_second": 80.0,
        "bare_steps_per_second": 100.0,
        "history": asdict(history),
    }


def write(folder, content):
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(content))
    return folder


def test_a_row_says_what_the_run_reached():
    row = runs_table([result(3)]).splitlines()[-1]
    rates = "50.0 % [24.0, 76.0] | 90.0 % [60.0, 98.0]"
    assert row == f"| seed 3 | {rates} | 10.0 / 12.0 | 200 | 2.0 | 5.0 | 90 % | 80 / 100 (80 %) |"


def test_runs_share_a_figure_and_a_table(tmp_path):
    runs = [write(tmp_path / name, result(i)) for i, name in enumerate("ab")]
    table = summarize(runs, tmp_path / "new" / "curves.png")
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["seed 0", "seed 1"]
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_different_tasks_are_refused(tmp_path):
    runs = [write(tmp_path / "a", result(0)), write(tmp_path / "b", result(0, "Other"))]
    with pytest.raises(ZprlError, match="different tasks"):
        summarize(runs, None)


@pytest.mark.parametrize(
    ("where", "content"), list(spoilt(result(0))), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_result_of_another_form_is_refused_or_does_not_matter(tmp_path, where, content):
    folder = write(tmp_path / "a", content)
    unused = ("history/without training_success", "history/without evaluation_minutes", "task/a text")
    try:
        summarize([folder], tmp_path / "curves.png" if "history" in where else None)
        assert where.startswith(unused)
    except ZprlError as error:
        assert str(error).startswith(
            f"the result of a run {folder}/result.json is incomplete or none of this project ("
        )
        assert not (tmp_path / "curves.png").exists()


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(ZprlError, match="result of a run"):
        summarize([tmp_path], None)
