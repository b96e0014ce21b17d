# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Summaries over tasks, against numbers by hand, SciPy and distributions that are known."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from zprl.study.grid import method_variants
from zprl.study.results import RunResult, load_results
from zprl.study.summary import gap_closed, interquartile_means, summarize_variants
from zprl.study.summary_report import write_reports
from zprl.utils.errors import ZprlError

from .test_report import MARKS, manifest_of, rows_of, write_run

TASKS = ("Zprl-Lift-Franka", "Zprl-Can-Franka")


def column(*values):
    return np.array(values, dtype=np.float64)[:, None]


def test_the_middle_half_by_hand():
    """Of eight scores the two smallest and the two largest are left out, whatever tasks they are of."""
    (estimate,) = interquartile_means([column(0.0, 0.5, 0.6, 0.9), column(0.7, 0.8, 0.1, 1.0)])
    assert estimate.mean == pytest.approx((0.5 + 0.6 + 0.7 + 0.8) / 4)
    assert estimate.count == 8
    scores = np.random.default_rng(0).random((3, 7, 2))
    estimates = interquartile_means(list(scores))
    expected = [stats.trim_mean(scores[:, :, respect].ravel(), 0.25) for respect in range(2)]
    assert [estimate.mean for estimate in estimates] == pytest.approx(expected)


def test_runs_are_drawn_within_their_tasks():
    """Where seeds agree within each task there is nothing to draw, however much the tasks differ."""
    (estimate,) = interquartile_means([column(0.2, 0.2, 0.2), column(0.9, 0.9, 0.9), column(0.5, 0.5)])
    assert (estimate.low, estimate.high) == pytest.approx((estimate.mean, estimate.mean))


def test_interval_of_two_runs_by_hand():
    """Of one task with scores 0 and 1 the means are 0, 0.5 or 1, with chances of 1/4, 1/2 and 1/4."""
    (estimate,) = interquartile_means([column(0.0, 1.0)])
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, 0.0, 1.0)
    (single,) = interquartile_means([column(0.3), column(0.4, 0.6)])
    assert (single.low, single.high) == (None, None), "one run says nothing about the others"


def test_intervals_cover_what_is_true_in_about_95_of_100_studies():
    """Normal scores around the means of four tasks, which lie symmetrically around 0.5: so does their middle half."""
    rng = np.random.default_rng(0)
    means = np.array([0.3, 0.45, 0.55, 0.7])
    scores = rng.normal(means[:, None, None], 0.1, size=(4, 10, 200))
    intervals: list[Any] = interquartile_means(list(scores), num_resamples=500)
    covered = np.mean([estimate.low <= 0.5 <= estimate.high for estimate in intervals])
    assert 0.90 < covered < 0.98


def test_the_same_study_has_the_same_intervals():
    scores = [column(0.1, 0.4, 0.9), column(0.3, 0.7, 0.8)]
    assert interquartile_means(scores) == interquartile_means(scores)


def test_gap_by_hand():
    assert gap_closed(0.9, 0.5) == pytest.approx(0.8)
    assert gap_closed(0.25, 0.5) == pytest.approx(-0.5)
    assert gap_closed(1.0, 0.4) == 1.0


@pytest.fixture
def studies(tmp_path):
    """Three seeds of one variant on two tasks; of another one task has a run, and the other none.

    The base policy succeeds in 5 of 10 episodes; the pairs are successes of ten at the two marks.
    """
    variants, _ = method_variants(["zprl", "noise"], ["ppo"])
    made = []
    for task, runs in zip(TASKS, [[(7, 9), (9, 10), (6, 8)], [(5, 6), (4, 5), (9, 9)]], strict=True):
        folder = tmp_path / task
        for seed, (first, last) in enumerate(runs):
            write_run(folder / f"zprl_ppo_seed{seed}", seed, first, last)
        made.append((manifest_of(variants, [0, 1, 2], task=task), folder))
    write_run(made[0][1] / "noise_ppo_seed0", 0, 5, 6)
    return made


def results_of(studies):
    return {manifest.task: load_results(manifest, folder)[0] for manifest, folder in studies}


def summaries(results) -> list[Any]:
    return summarize_variants(results, MARKS)


def test_a_summary_by_hand(studies):
    zprl, noise = summaries(results_of(studies))
    assert zprl.num_runs == dict.fromkeys(TASKS, 3)
    # Finals 9, 10, 8, 6, 5, 9 of 10: without the smallest and the largest 6, 8, 9, 9.
    assert zprl.final_success.mean == pytest.approx(0.8)
    # Gaps closed are 2 * rate - 1.
    assert zprl.gap_closed.mean == pytest.approx(0.6)
    # 80 % of the gap is closed by 9 of 10: after 200k, 100k, never, never, never, 100k. The budget stands for never,
    # and without the smallest and the largest 100k, 200k, 200k, 200k are left.
    assert zprl.steps_to_gap_level.mean == 175_000
    assert (zprl.num_reached, zprl.steps_to_gap_level.count) == (3, 6)
    # At the first mark 7, 9, 6, 5, 4, 9 of 10: 5, 6, 7, 9 are left.
    assert [point.mean for point in zprl.curve] == pytest.approx([0.0, 2 * 0.675 - 1, 0.6])
    for estimate in (zprl.final_success, zprl.gap_closed, zprl.steps_to_gap_level, *zprl.curve):
        assert estimate.low <= estimate.mean <= estimate.high
    assert noise.num_runs == {TASKS[0]: 1, TASKS[1]: 0}
    assert (noise.final_success, noise.gap_closed, noise.steps_to_gap_level, noise.curve) == (None, None, None, [])


def with_base(rate):
    def change(run: RunResult) -> RunResult:
        return replace(run, base={**run.base, "rate": rate})

    return change


def test_a_base_policy_that_always_succeeds_leaves_no_gap(studies):
    results = results_of(studies[:1])
    perfect = [replace(result, runs=list(map(with_base(1.0), result.runs))) for result in results[TASKS[0]]]
    zprl, _ = summaries({**results, "Perfect": perfect})
    alone, _ = summaries(results)
    assert zprl.final_success.count == 6
    assert (zprl.gap_closed, zprl.curve) == (alone.gap_closed, alone.curve)
    zprl, _ = summaries({"Perfect": perfect})
    assert zprl.final_success.count == 3 and zprl.gap_closed is None


def test_the_report_over_tasks(studies, tmp_path, capsys):
    output = tmp_path / "report"
    write_reports(studies, output)
    text = (output / "README.md").read_text()
    summary, lift, can = rows_of(text, "zprl, PPO")
    assert [cell.split(" [")[0] for cell in summary[:3]] == ["6", "80.0", "60.0"]
    assert summary[3].startswith("175.0 [") and summary[3].endswith("] (3 of 6 got there)")
    assert rows_of(text, "noise, PPO")[0] == ["1", "-", "-", "-"]
    for row, task in ((lift, TASKS[0]), (can, TASKS[1])):
        own = (output / task / "README.md").read_text()
        assert row == rows_of(own, "zprl, PPO")[0]
        assert f"({task}/README.md)" in text and own.startswith(f"# Study methods: {task}\n")
    assert f"- `{TASKS[1]}/noise_ppo_seed0`:" in text
    assert "counts as the whole budget" in text
    assert re.findall(r"!\[.*?\]\((.*?)\)", text) == ["summary.png"]
    assert (output / "summary.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((output / "report.json").read_text())
    assert report["tasks"] == list(TASKS) and report["budget"] == MARKS[-1]
    assert report["summary"][0]["steps_to_gap_level"]["mean"] == 175_000
    assert set(report["missing"]) == {f"{TASKS[0]}/noise_ppo_seed{s}" for s in (1, 2)} | {
        f"{TASKS[1]}/noise_ppo_seed{s}" for s in (0, 1, 2)
    }
    assert "over 2 tasks" in capsys.readouterr().out


def test_a_report_over_tasks_without_any_result(studies, tmp_path):
    nothing = [(manifest, tmp_path / "nothing") for manifest, _ in studies]
    write_reports(nothing, tmp_path / "report")
    assert f"{TASKS[1]}/zprl_ppo_seed2" in (tmp_path / "report" / "README.md").read_text()
    assert not (tmp_path / "report" / "summary.png").exists()


def test_tasks_of_different_budgets_have_no_summary(studies, tmp_path):
    studies[1][0].pinned["budget"] = 300_000
    with pytest.raises(ZprlError, match=f"{TASKS[0]} and {TASKS[1]} differ in budget \\(200000 and 300000\\)"):
        write_reports(studies, tmp_path / "report")
    assert not (tmp_path / "report").exists()
