# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The report of a study on one task: README.md with tables and figures, and everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from zprl.evaluation.report import markdown_table
from zprl.study.grid import ABLATIONS
from zprl.study.latent_analysis import SPACES
from zprl.study.manifest import StudyManifest
from zprl.study.plots import Analyses, plot_ablation, plot_curves, plot_maps, plot_shift
from zprl.study.results import LEVELS, Estimate, VariantResult, load_results
from zprl.study.run_analysis import load_analyses
from zprl.study.scheduler import last_line
from zprl.utils.files import atomic_json_dump, atomic_write

_MOTION = {
    "velocity": ("velocity [m/s]", 3),
    "acceleration": ("acceleration [m/s²]", 2),
    "jerk": ("jerk [m/s³]", 1),
    "joint_jerk": ("jerk of the joints [rad/s³]", 0),
    "mean_steps": ("episode [steps]", 1),
}
"""Columns of the last evaluation's means and their digits after the point; only some tasks name their joints."""


def write_report(manifest: StudyManifest, folder: Path, output: Path) -> list[VariantResult]:
    """Write the report of the finished runs in a study's folder, print its table and return its results.

    What it writes are ``README.md``, ``report.json``, ``curves.png``, of an ablation ``ablation.png``, and of ZPRL
    ``latent_shift.png`` and ``latent_maps.png``.
    """
    results, missing = load_results(manifest, folder)
    analyses = load_analyses(manifest, folder)
    variants = [result.variant for result in results]
    ablation = manifest.pinned["ablation"]
    figures: dict[str, str] = {}
    if any(result.runs for result in results):
        figures["Learning curves"] = "curves.png"
        plot_curves(output / "curves.png", results, manifest.marks, manifest.task)
        if ablation is not None:
            figures["Ablation"] = "ablation.png"
            plot_ablation(output / "ablation.png", results, ABLATIONS[ablation].symbol, manifest.task)
    if analyses:
        plot_shift(output / "latent_shift.png", variants, analyses, manifest.task)
        plot_maps(output / "latent_maps.png", variants, analyses)
    logs = last_lines(missing, folder)
    atomic_json_dump(
        {
            **{name: getattr(manifest, name) for name in ("name", "pinned", "seeds", "machine", "commits", "command")},
            "results": [asdict(result) for result in results],
            "latent": {
                name: [{key: value for key, value in run.items() if key != "maps"} for run in runs]
                for name, runs in analyses.items()
            },
            "missing": logs,
        },
        output / "report.json",
    )
    with atomic_write(output / "README.md") as file:
        file.write(_markdown(manifest, results, logs, figures, analyses).encode())
    print(results_table(results, manifest.marks[-1]))
    print(f"report: {output}/README.md")
    return results


def last_lines(missing: Sequence[str], folder: Path) -> dict[str, str]:
    """Return the last line of the log of each run in a study's folder that has no result, by the run's name."""
    return {name: last_line(folder / name / "train.log") for name in missing}


def _markdown(
    manifest: StudyManifest,
    results: Sequence[VariantResult],
    missing: dict[str, str],
    figures: dict[str, str],
    analyses: Analyses,
) -> str:
    pinned = manifest.pinned
    episodes = next((run.final["episodes"] for result in results for run in result.runs), None)
    parts = [
        f"# Study {manifest.name}: {manifest.task}",
        f"{len(manifest.seeds)} seed{'s' * (len(manifest.seeds) > 1)} ({', '.join(map(str, manifest.seeds))}) of every "
        f"row, {pinned['budget']:,} environment steps each, in {pinned['number of worlds']} worlds on "
        f"{pinned['physics']}, {pinned['device']}. "
        f"Policies act deterministically in the same {episodes} episodes, at {len(manifest.marks)} marks. "
        "Intervals are of the mean over the seeds, by Student's t at 95 %; the seeds share demonstrations and base "
        "policy, so what another base policy would change is not in them.",
    ]
    if missing:
        parts.append(missing_list(missing))
    parts += [f"![{caption}]({file})" for caption, file in figures.items()]
    parts += [
        "## Results",
        results_table(results, manifest.marks[-1]),
        "Steps to a level are those of the first evaluation at or above it, averaged over the seeds that reached it. "
        "Mean success is the area under the curve from step 0 on, divided by the budget. Velocity, acceleration, jerk "
        "and episode length are of successful episodes.",
        "## Time",
        time_table(results),
        f"Minutes are of reinforcement learning alone, with {manifest.jobs} run{'s' * (manifest.jobs > 1)} at once.",
        *(_latent_section(results, analyses) if analyses else ()),
        "## Settings",
        settings_table(manifest),
        "## How it was made",
        provenance(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def missing_list(missing: Mapping[str, str]) -> str:
    """Return the list of the runs that have no result, with the last line of each one's log."""
    return "**Missing runs:**\n\n" + "\n".join(f"- `{name}`: {line}" for name, line in missing.items())


def _latent_section(results: Sequence[VariantResult], analyses: Analyses) -> list[str]:
    return [
        "## What the residual does",
        latent_table(results, analyses),
        "Change: RMS of the difference that the residual makes, over the RMS without it. Distance: mean distance to "
        "the nearest point of the demonstrations, over the mean distance of the demonstrations' own points to the "
        "nearest one of another demonstration; the base policy's at the same observations comes first. All at the "
        "observations at which the steered policy plans in the evaluation's episodes, averaged over the seeds.",
        "![Shift](latent_shift.png)",
        "Dots: learned residuals, one per seed. Lines: residuals that nobody learned, uniform in [-λ, λ] and multiples "
        "of that, at the demonstrations' observations.",
        "![Maps](latent_maps.png)",
        "Decoded features and executed actions of the base policy (before) and of the first seed's steered policy "
        "(after) at the same observations, in the plane of the demonstrations' largest variance.",
    ]


def provenance(manifest: StudyManifest) -> str:
    """Return the list of how a study was made."""
    machine = manifest.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items() if version)
    gpu = f", {machine['gpu']}" if machine.get("gpu") else ""
    elsewhere = "" if manifest.launcher == "local" else f"; runs on those that {manifest.launcher.capitalize()} chose"
    lines = [
        f"- Command: `{manifest.command}`",
        f"- Code: {', '.join(f'`{commit}`' for commit in manifest.commits) or 'unknown commit'}",
        f"- Machine: {machine.get('cpu')}, {machine.get('cores')} cores{gpu}{elsewhere}",
        f"- Versions: {versions}",
    ]
    return "\n".join(lines)


def results_table(results: Sequence[VariantResult], budget: int) -> str:
    """Return the table of what was reached with a budget [environment steps], a row per variant."""
    header = ["", "seeds", "base [%]", "final success [%]"]
    header += [f"steps to {100 * level:.0f} %" for level in LEVELS]
    columns = {
        name: column
        for name, column in _MOTION.items()
        if name != "joint_jerk" or any(result.joint_jerk is not None for result in results)
    }
    header += ["mean success [%]", *(label for label, _ in columns.values())]
    rows = []
    for result in results:
        row = [result.variant.label, str(len(result.runs)), _mean(result.base_success, 100)]
        row.append(interval_cell(result.final_success, 100))
        row += [_steps_to(result, estimate, budget) for estimate in result.steps_to.values()]
        row.append(interval_cell(result.area_under_curve, 100))
        row += [_mean(getattr(result, name), digits=digits) for name, (_, digits) in columns.items()]
        rows.append(row)
    return markdown_table(header, rows)


def time_table(results: Sequence[VariantResult]) -> str:
    """Return the table of where the time went, a row per variant."""
    results = [result for result in results if result.runs]
    names = list(results[0].time_split) if results else []
    rows = []
    for result in results:
        shares = [f"{100 * result.time_split[name]:.0f}" for name in names]
        rows.append([result.variant.label, interval_cell(result.minutes), *shares])
    return markdown_table(["", "minutes", *(f"{name} [%]" for name in names)], rows)


def latent_table(results: Sequence[VariantResult], analyses: Analyses) -> str:
    """Return the table of how far the residuals go, a row per analysed variant."""
    header = ["", "λ", "RMS(z)", *(f"change of {space}" for space in SPACES)]
    header += [f"distance of {space}" for space in SPACES]
    rows = []
    for variant in (result.variant for result in results):
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


def _mean(estimate: Estimate | None, factor: float = 1, digits: int = 1) -> str:
    return "-" if estimate is None else f"{factor * estimate.mean:.{digits}f}"


def interval_cell(estimate: Estimate | None, factor: float = 1) -> str:
    """Return a mean with its interval, each times a factor; "-" for None."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return _mean(estimate, factor)
    return f"{_mean(estimate, factor)} [{factor * estimate.low:.1f}, {factor * estimate.high:.1f}]"


def _steps_to(result: VariantResult, estimate: Estimate | None, budget: int) -> str:
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
