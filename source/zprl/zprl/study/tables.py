# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The tables of a study's report, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zprl.study.grid import Variant
from zprl.study.latent_analysis import SPACES
from zprl.study.manifest import StudyManifest
from zprl.study.results import LEVELS, VariantResult
from zprl.study.statistics import Estimate


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def results_table(results: Sequence[VariantResult], budget: int) -> str:
    """Return the table of what was reached, a row per variant.

    Args:
        results: Results by variant.
        budget: Environment steps of each run.
    """
    header = ["", "seeds", "base [%]", "final success [%]"]
    header += [f"steps to {100 * level:.0f} %" for level in LEVELS]
    header += ["mean success [%]", "velocity [m/s]", "acceleration [m/s²]", "jerk [m/s³]", "episode [steps]"]
    rows = []
    for result in results:
        row = [result.variant.label, str(len(result.runs)), _mean(result.base_success, 100, 1)]
        row.append(_interval(result.final_success, 100, 1))
        row += [_steps_to(result, index, budget) for index in range(len(LEVELS))]
        row.append(_interval(result.area, 100, 1))
        row += [_mean(result.final_mean(name), 1, digits) for name, digits in _MOTION.items()]
        rows.append(row)
    return markdown_table(header, rows)


_MOTION = {"velocity": 3, "acceleration": 2, "jerk": 1, "mean_steps": 1}
"""Digits after the point of each entry of an evaluation's summary."""


def time_table(results: Sequence[VariantResult]) -> str:
    """Return the table of where the time went, a row per variant."""
    names = next((list(result.time_split()) for result in results if result.runs), [])
    rows = [
        [
            result.variant.label,
            _interval(result.minutes, 1, 1),
            *(f"{100 * result.time_split()[name]:.0f}" for name in names),
        ]
        for result in results
        if result.runs
    ]
    return markdown_table(["", "minutes", *(f"{name} [%]" for name in names)], rows)


def latent_table(variants: Sequence[Variant], analyses: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the table of how far the residuals go, a row per analysed variant.

    Args:
        variants: Variants of the study.
        analyses: What :func:`zprl.study.latent_analysis.analyse` returned for the runs, by the variant's name.
    """
    header = ["", "λ", "RMS(z)", *(f"change of {space}" for space in SPACES)]
    header += [f"distance of {space}" for space in SPACES]
    rows = []
    for variant in variants:
        runs = analyses.get(variant.name)
        if not runs:
            continue
        cells = [f"{np.mean([run[name] for run in runs]):.2f}" for name in ("residual_scale", "latent_rms")]
        cells += [f"{_over_runs(runs, 'steered_visited', 'change', space):.2f}" for space in SPACES]
        for space in SPACES:
            base, steered = (_over_runs(runs, name, "distance", space) for name in ("base_visited", "steered_visited"))
            cells.append(f"{base:.2f} → {steered:.2f}")
        rows.append([variant.label, *cells])
    return markdown_table(header, rows)


def _over_runs(runs: Sequence[Mapping[str, Any]], policy: str, measure: str, space: str) -> float:
    return float(np.mean([run[policy][measure][space] for run in runs]))


def settings_table(manifest: StudyManifest) -> str:
    """Return the table of the settings that tell the variants apart, a column per variant; folded up on a web page."""
    records = manifest.variants
    names = list(dict.fromkeys(name for record in records for name in record.settings))
    rows = [[f"`{name}`", *(_value(record.settings.get(name)) for record in records)] for name in names]
    rows.append(["iterations", *(f"{record.max_iterations:,}" for record in records)])
    rows.append(["base policy (SHA-256)", *(f"`{record.base_checksum[:12]}`" for record in records)])
    table = markdown_table(["", *(record.variant.label for record in records)], rows)
    return f"<details><summary>Settings of each variant</summary>\n\n{table}\n\n</details>"


def _mean(estimate: Estimate | None, factor: float, digits: int) -> str:
    return "-" if estimate is None else f"{factor * estimate.mean:.{digits}f}"


def _interval(estimate: Estimate | None, factor: float, digits: int) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return _mean(estimate, factor, digits)
    low, high = factor * estimate.low, factor * estimate.high
    return f"{factor * estimate.mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _steps_to(result: VariantResult, index: int, budget: int) -> str:
    estimate = result.steps_to(index)
    if not result.runs:
        return "-"
    if estimate is None:
        return f"> {budget / 1000:,.0f}k"
    reached = "" if estimate.count == len(result.runs) else f" ({estimate.count} of {len(result.runs)})"
    return f"{estimate.mean / 1000:,.0f}k{reached}"


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
