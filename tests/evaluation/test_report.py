# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import dataclasses
import json

import pytest

from zprl.evaluation.report import format_table, result_table, summarize
from zprl.evaluation.statistics import paired_comparison, policy_summary

LINE = [[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0]]


def test_columns_are_aligned():
    assert format_table([["", "base", "steered"], ["success", "54%", "100%"], ["steps", 8, 10]]) == (
        "         base  steered\n-------  ----  -------\nsuccess   54%     100%\nsteps       8       10"
    )


def test_rows_of_different_lengths_are_rejected():
    with pytest.raises(ValueError, match="argument 2"):
        format_table([["a", "b"], ["c"]])


def test_result_table_shows_every_number():
    base, steered = [True, False, False, False], [True, True, True, False]
    result = {
        "base": policy_summary(base, [50, 99, 99, 99], [LINE] * 4, dt=0.1),
        "steered": policy_summary(steered, [40, 41, 42, 99], [LINE] * 4, dt=0.05),
        "comparison": dataclasses.asdict(paired_comparison(base, steered)),
        "environment_steps": 1234567,
        "minutes": 12.34,
        "backend": "native",
        "physics": "mujoco",
        "device": "cpu",
    }
    lines = result_table(result).splitlines()
    cells = {line[:26].strip(): line[26:].split() for line in lines[2:8]}
    assert lines[0].split() == ["base", "steered"]
    assert cells["success (95% interval)"] == ["25.0%", "[4.6,", "69.9]", "75.0%", "[30.1,", "95.4]"]
    assert cells["mean steps to success"] == ["50.0", "41.0"]
    assert cells["mean velocity [m/s]"] == ["1.000", "2.000"]
    assert cells["mean acceleration [m/s^2]"] == ["0.00", "0.00"]
    assert "jerk" in lines[7]
    assert lines[8].startswith("difference +50.0 points [")
    assert lines[8].endswith("p = 0.500 (McNemar, 4 pairs)")
    assert lines[9] == "1,234,567 environment steps, 12.3 min, backend native, physics mujoco, device cpu"


def test_missing_entries_are_left_out():
    result = {"base": policy_summary([False], [99], [LINE], dt=0.1), "minutes": None}
    table = result_table(result)
    assert "steered" not in table
    assert table.splitlines()[-1].split() == ["mean", "jerk", "[m/s^3]", "-"]
    assert result_table({}) == ""


@pytest.mark.parametrize("positions", [[LINE] * 2, []], ids=["no success", "nothing tracked"])
def test_finished_runs_are_summarised_also_where_no_jerk_is_known(positions, tmp_path):
    successes = [not positions] * 2
    policy = policy_summary(successes, [50, 99], positions, dt=0.1)
    result = {
        "task": "Fake-Task",
        "seed": 3,
        "base": policy,
        "steered": policy,
        "environment_steps": 100,
        "minutes": 0.1,
        "total_minutes": 0.2,
        "time_split": {"simulation": 0.5},
        "training_steps_per_second": 10.0,
        "bare_steps_per_second": 20.0,
    }
    (tmp_path / "result.json").write_text(json.dumps(result))
    header, _, row = summarize([tmp_path], None).splitlines()
    cells = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    assert cells["jerk base / steered [m/s^3]"] == "- / -"
