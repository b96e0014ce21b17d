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
