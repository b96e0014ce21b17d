# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

POLICIES = ("base", "steered")


def format_table(rows: Sequence[Sequence[object]]) -> str:
    """Align rows in columns.

    Args:
        rows: Cells by row, all rows of equal length. The first row is the header; the first column is aligned to the
            left and all others to the right.

    Returns:
        Lines of text without a final newline.

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


def result_table(result: Mapping[str, Any]) -> str:
    """Format the result of a training or an evaluation: base against steered policy, and what it took.

    Args:
        result: Any of the entries below; a missing one is left out or shown as "-".

            * ``base``, ``steered``: what :func:`zprl.evaluation.statistics.policy_summary` returns.
            * ``comparison``: fields of :class:`zprl.evaluation.statistics.PairedComparison`.
            * ``environment_steps``: steps of reinforcement learning over all environments.
            * ``minutes``: duration of the reinforcement learning [min].
            * ``backend``, ``physics``, ``device``: names of the sampler backend, physics engine and device.

    Returns:
        Lines of text without a final newline.
    """
    policies = [name for name in POLICIES if result.get(name) is not None]
    rows: list[list[str]] = [["", *policies]]
    for label, cell in _ROWS:
        rows.append([label, *(cell(result[name]) for name in policies)])
    parts = [format_table(rows)] if policies else []

    comparison = result.get("comparison")
    if comparison is not None:
        parts.append(
            f"difference {100 * comparison['difference']:+.1f} points "
            f"[{100 * comparison['low']:+.1f}, {100 * comparison['high']:+.1f}], "
            f"p = {_p_value(comparison['p_value'])} (McNemar, {comparison['episodes']} pairs)"
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

    The base policy's numbers are None where a bundle's format does not hold it.

    Args:
        report: Summaries ``base`` and, if there are both, ``steered``; steps, backend, physics and device.
        task: Task id.
        checkpoint: File that was evaluated.
        episodes: Number of episodes.
        seed: Seed of the initial states.
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
        **{name: steered[name] for name in ("velocity", "acceleration", "jerk")},
        **{f"base_{name}": base.get(name) for name in ("velocity", "acceleration", "jerk")},
        "comparison": report.get("comparison"),
        "backend": report["backend"],
        "device": report["device"],
        "physics": report["physics"],
    }


def _success(policy: Mapping[str, Any]) -> str:
    return f"{100 * policy['rate']:.1f}% [{100 * policy['low']:.1f}, {100 * policy['high']:.1f}]"


def _number(key: str, digits: int) -> Callable[[Mapping[str, Any]], str]:
    def cell(policy: Mapping[str, Any]) -> str:
        value = policy.get(key)
        return "-" if value is None else f"{value:.{digits}f}"

    return cell


def _p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


_ROWS: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
    ("success (95% interval)", _success),
    ("episodes", _number("episodes", 0)),
    ("mean steps to success", _number("mean_steps", 1)),
    ("mean velocity [m/s]", _number("velocity", 3)),
    ("mean acceleration [m/s^2]", _number("acceleration", 2)),
    ("mean jerk [m/s^3]", _number("jerk", 1)),
]
