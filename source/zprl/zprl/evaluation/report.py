# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What is printed of evaluations and finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zprl.evaluation.plots import LearningHistory, plot_learning_curves
from zprl.evaluation.statistics import success_rate
from zprl.utils.errors import ZprlError
from zprl.utils.files import load_json, reading
from zprl.utils.strict_json import NUMBER

_NUMBERS = (
    ("episodes", "episodes", 0),
    ("mean steps to success", "mean_steps", 1),
    ("mean velocity [m/s]", "velocity", 3),
    ("mean acceleration [m/s^2]", "acceleration", 2),
    ("mean jerk [m/s^3]", "jerk", 1),
)
"""Label, entry of a policy's summary and digits after the point of the result table's rows."""

MOTION = ("velocity", "acceleration", "jerk", "joint_jerk")
"""Entries of a policy's summary that say how it moves."""

_JOINT_JERK = ("mean jerk of the joints [rad/s^3]", "joint_jerk", 0)
"""The same of a row that only tasks have which name their joints."""

_SUMMARY = {"rate": NUMBER, "low": NUMBER, "high": NUMBER, "jerk": NUMBER | None, "successes": int, "episodes": int}

_RESULT = {
    "task": str,
    "seed": int,
    "base": _SUMMARY,
    "steered": _SUMMARY,
    "environment_steps": int,
    "time_split": {"simulation": NUMBER},
    **{name: NUMBER for name in ("minutes", "total_minutes", "training_steps_per_second", "bare_steps_per_second")},
}
"""What :func:`runs_table` and the figure take from a run's result.json."""


def format_table(rows: Sequence[Sequence[object]]) -> str:
    """Align rows in columns.

    Args:
        rows: Cells by row, all rows of equal length. The first row is the header; the first column is aligned to the
            left and all others to the right.

    Raises:
        ValueError: If the rows differ in length.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *others in cells:
        lines.append("  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]))
    if lines:
        lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def success_cell(policy: Mapping[str, Any] | None) -> str:
    """Return the success rate in a policy's summary with its interval; "-" without a summary."""
    if policy is None:
        return "-"
    return f"{100 * policy['rate']:.1f}% [{100 * policy['low']:.1f}, {100 * policy['high']:.1f}]"


def number_cell(policy: Mapping[str, Any] | None, key: str, digits: int) -> str:
    """Return an entry of a policy's summary; "-" without a summary, or if the entry is None."""
    value = None if policy is None else policy.get(key)
    return "-" if value is None else f"{value:.{digits}f}"


def result_table(result: Mapping[str, Any]) -> str:
    """Format the result of a training or an evaluation: base against steered policy, and what it took.

    Args:
        result: Any of the entries below; a missing one is left out or shown as "-".

            * ``base``, ``steered``: what :func:`zprl.evaluation.statistics.policy_summary` returns.
            * ``comparison``: fields of :class:`zprl.evaluation.statistics.PairedComparison`.
            * ``environment_steps``: steps of reinforcement learning over all environments.
            * ``minutes``: duration of the reinforcement learning [min].
            * ``backend``, ``physics``, ``device``: names of the sampler backend, physics engine and device.
    """
    policies = {name: result[name] for name in ("base", "steered") if result.get(name) is not None}
    rows = [["", *policies], ["success (95% interval)", *map(success_cell, policies.values())]]
    measured = any(policy.get("joint_jerk") is not None for policy in policies.values())
    numbers = (*_NUMBERS, _JOINT_JERK) if measured else _NUMBERS
    rows += [[label, *(number_cell(p, key, digits) for p in policies.values())] for label, key, digits in numbers]
    parts = [format_table(rows)] if policies else []

    comparison = result.get("comparison")
    if comparison is not None:
        p_value = "<0.001" if comparison["p_value"] < 0.001 else f"{comparison['p_value']:.3f}"
        parts.append(
            f"difference {100 * comparison['difference']:+.1f} points "
            f"[{100 * comparison['low']:+.1f}, {100 * comparison['high']:+.1f}], "
            f"p = {p_value} (McNemar, {comparison['episodes']} pairs)"
        )

    facts = []
    if result.get("environment_steps") is not None:
        facts.append(f"{result['environment_steps']:,} environment steps")
    if result.get("minutes") is not None:
        facts.append(f"{result['minutes']:.1f} min")
    facts += [f"{name} {result[name]}" for name in ("backend", "physics", "device") if result.get(name) is not None]
    if facts:
        parts.append(", ".join(facts))
    return "\n".join(parts)


def flat_result(report: dict[str, Any], task: str, checkpoint: str, episodes: int, seed: int) -> dict[str, Any]:
    """Return an evaluation as the flat keys of ``--json``; of a base policy alone both halves are the same.

    The report holds the summaries ``base`` and, if there are both, ``steered``, and what :func:`result_table` takes
    beside them. The base policy's numbers are None where a bundle's format does not hold it.
    """
    base = report.get("base", {})
    steered = report.get("steered", base)
    return {
        "task": task,
        "checkpoint": checkpoint,
        "episodes": episodes,
        "seed": seed,
        "success_rate": steered["rate"],
        "success_ci95": [steered["low"], steered["high"]],
        "base_success_rate": base.get("rate"),
        "base_success_ci95": [base["low"], base["high"]] if base else None,
        "mean_steps": steered["mean_steps"],
        "base_mean_steps": base.get("mean_steps"),
        "env_steps_trained": report["environment_steps"],
        **{name: steered[name] for name in MOTION},
        **{f"base_{name}": base.get(name) for name in MOTION},
        "comparison": report.get("comparison"),
        "backend": report["backend"],
        "device": report["device"],
        "physics": report["physics"],
    }


def load_results(run_dirs: Sequence[Path]) -> list[dict[str, Any]]:
    """Read the results of finished runs in their folders.

    Raises:
        ZprlError: If a run has no result yet, one is incomplete, or the runs are of different tasks.
    """
    results = [load_json(folder / "result.json", "result of a run", _RESULT) for folder in run_dirs]
    tasks = sorted({result["task"] for result in results})
    if len(tasks) > 1:
        raise ZprlError(f"the runs are of different tasks ({', '.join(tasks)}); give runs of one task.")
    return results


def runs_table(results: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each of the runs, at least one, that :func:`load_results` read."""

    def rate(summary: dict[str, Any]) -> str:
        return f"{100 * summary['rate']:.1f} % [{100 * summary['low']:.1f}, {100 * summary['high']:.1f}]"

    rows = []
    for result in results:
        bare = result["bare_steps_per_second"]
        training = result["training_steps_per_second"]
        rows.append(
            {
                "run": f"seed {result['seed']}",
                "base": rate(result["base"]),
                "steered": rate(result["steered"]),
                "jerk base / steered [m/s^3]": " / ".join(
                    number_cell(result[policy], "jerk", 1) for policy in ("base", "steered")
                ),
                "env steps": f"{result['environment_steps']:,}",
                "RL [min]": f"{result['minutes']:.1f}",
                "all [min]": f"{result['total_minutes']:.1f}",
                "simulation": f"{100 * result['time_split']['simulation']:.0f} %",
                "training / bare [env steps/s]": f"{training:,.0f} / {bare:,.0f} ({100 * training / bare:.0f} %)",
            }
        )
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows])


def summarize(run_dirs: Sequence[Path], figure: Path | None) -> str:
    """Draw the learning curves of finished runs of one task into a PNG, if one is given, and return their table."""
    results = load_results(run_dirs)
    if figure is not None:
        base, histories = results[0]["base"], {}
        for folder, result in zip(run_dirs, results, strict=True):
            with reading(folder / "result.json", "result of a run"):
                histories[f"seed {result['seed']}"] = LearningHistory.of(result.get("history"))
        plot_learning_curves(
            figure,
            histories,
            success_rate([True] * base["successes"] + [False] * (base["episodes"] - base["successes"])),
            results[0]["task"],
        )
    return runs_table(results)
