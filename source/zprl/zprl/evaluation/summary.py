# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Several finished runs in one figure and one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zprl.evaluation.plots import LearningHistory, plot_learning_curves
from zprl.evaluation.statistics import success_rate
from zprl.utils.errors import ZprlError
from zprl.utils.files import load_json

_COLUMNS = (
    "run",
    "base",
    "steered",
    "jerk base / steered [m/s^3]",
    "env steps",
    "RL [min]",
    "all [min]",
    "simulation",
    "training / bare [env steps/s]",
)


def load_results(run_dirs: Sequence[Path]) -> list[dict[str, Any]]:
    """Read the results of finished runs.

    Args:
        run_dirs: Folders of runs.

    Raises:
        ZprlError: If a run has no result yet, or the runs are of different tasks.
    """
    results = [load_json(folder / "result.json", "result of a run") for folder in run_dirs]
    tasks = sorted({result["task"] for result in results})
    if len(tasks) > 1:
        raise ZprlError(f"the runs are of different tasks ({', '.join(tasks)}); give runs of one task.")
    return results


def markdown_table(results: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table with a row per run.

    Args:
        results: What :func:`load_results` returned.
    """

    def rate(summary: dict[str, Any]) -> str:
        return f"{100 * summary['rate']:.1f} % [{100 * summary['low']:.1f}, {100 * summary['high']:.1f}]"

    rows = [_COLUMNS, ("---",) * len(_COLUMNS)]
    for result in results:
        bare = result["bare_steps_per_second"]
        training = result["training_steps_per_second"]
        rows.append(
            (
                f"seed {result['seed']}",
                rate(result["base"]),
                rate(result["steered"]),
                f"{result['base']['jerk']:.1f} / {result['steered']['jerk']:.1f}",
                f"{result['environment_steps']:,}",
                f"{result['minutes']:.1f}",
                f"{result['total_minutes']:.1f}",
                f"{100 * result['time_split']['simulation']:.0f} %",
                f"{training:,.0f} / {bare:,.0f} ({100 * training / bare:.0f} %)",
            )
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def summarize(run_dirs: Sequence[Path], figure: Path | None) -> str:
    """Draw the learning curves of several runs, and return their table.

    Args:
        run_dirs: Folders of finished runs of one task.
        figure: PNG to write, or None.
    """
    results = load_results(run_dirs)
    if figure is not None:
        base = results[0]["base"]
        figure.parent.mkdir(parents=True, exist_ok=True)
        plot_learning_curves(
            figure,
            {f"seed {result['seed']}": LearningHistory(**result["history"]) for result in results},
            success_rate([True] * base["successes"] + [False] * (base["episodes"] - base["successes"])),
            results[0]["task"],
        )
    return markdown_table(results)
