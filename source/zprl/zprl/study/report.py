# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A study's report: README.md with tables, figures and everything as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zprl.files import atomic_json_dump, atomic_write
from zprl.study.grid import ABLATIONS
from zprl.study.manifest import StudyManifest
from zprl.study.plots import plot_ablation, plot_curves
from zprl.study.results import LEVELS, VariantResult, load_results
from zprl.study.scheduler import last_line
from zprl.study.statistics import Estimate


def write_report(manifest: StudyManifest, folder: Path, output: Path) -> None:
    """Write the report of a study's finished runs, and print its table.

    Args:
        manifest: The study.
        folder: The study's folder.
        output: Folder to write into: ``README.md``, ``report.json``, ``curves.png`` and, of an ablation,
            ``ablation.png``.
    """
    results, missing = load_results(manifest, folder)
    figures = {}
    if any(result.runs for result in results):
        plot_curves(output / "curves.png", results, manifest.marks, manifest.task)
        figures["Learning curves"] = "curves.png"
        ablation = manifest.pinned["ablation"]
        if ablation is not None:
            plot_ablation(output / "ablation.png", results, ABLATIONS[ablation].symbol, manifest.task)
            figures["Ablation"] = "ablation.png"
    logs = {name: last_line(folder / name / "train.log") for name in missing}
    atomic_json_dump(
        {
            "name": manifest.name,
            "pinned": manifest.pinned,
            "seeds": manifest.seeds,
            "machine": manifest.machine,
            "commits": manifest.commits,
            "command": manifest.command,
            "results": [result.to_dict() for result in results],
            "missing": logs,
        },
        output / "report.json",
    )
    with atomic_write(output / "README.md") as file:
        file.write(markdown(manifest, results, logs, figures).encode())
    print(results_table(results, manifest.marks[-1]))
    print(f"report: {output}/README.md")


def markdown(
    manifest: StudyManifest, results: Sequence[VariantResult], missing: dict[str, str], figures: dict[str, str]
) -> str:
    """Return the report's text.

    Args:
        manifest: The study.
        results: Results by variant.
        missing: Last line of the log of each run without a result, by its name.
        figures: File of each figure, by its caption.
    """
    pinned = manifest.pinned
    episodes = next((run.final["episodes"] for result in results for run in result.runs), None)
    parts = [
        f"# Study {manifest.name}: {manifest.task}",
        f"{len(manifest.seeds)} seeds ({', '.join(map(str, manifest.seeds))}) of every row, {pinned['budget']:,} "
        f"environment steps each, in {pinned['number of worlds']} worlds on {pinned['physics']}, {pinned['device']}. "
        f"Policies act deterministically in the same {episodes} episodes, at {len(manifest.marks)} marks. "
        "Intervals are of the mean over the seeds, by Student's t at 95 %; the seeds share demonstrations and base "
        "policy, so what another base policy would change is not in them.",
    ]
    if missing:
        parts.append("**Missing runs:**\n\n" + "\n".join(f"- `{name}`: {line}" for name, line in missing.items()))
    parts += [f"![{caption}]({file})" for caption, file in figures.items()]
    parts += [
        "## Results",
        results_table(results, manifest.marks[-1]),
        "Steps to a level are those of the first evaluation at or above it, averaged over the seeds that reached it. "
        "Mean success is the area under the curve from step 0 on, divided by the budget. Velocity, acceleration, jerk "
        "and episode length are of successful episodes.",
        "## Time",
        time_table(results),
        f"Minutes are of reinforcement learning alone, with {manifest.jobs} runs at once.",
        "## Settings",
        settings_table(manifest),
        "## How it was made",
        _provenance(manifest),
    ]
    return "\n\n".join(parts) + "\n"


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


def settings_table(manifest: StudyManifest) -> str:
    """Return the table of the settings that tell the variants apart, a column per variant; folded up on a web page."""
    records = manifest.variants
    names = list(dict.fromkeys(name for record in records for name in record.settings))
    rows = [[f"`{name}`", *(_value(record.settings.get(name)) for record in records)] for name in names]
    rows.append(["iterations", *(f"{record.max_iterations:,}" for record in records)])
    rows.append(["base policy (SHA-256)", *(f"`{record.base_checksum[:12]}`" for record in records)])
    table = markdown_table(["", *(record.variant.label for record in records)], rows)
    return f"<details><summary>Settings of each variant</summary>\n\n{table}\n\n</details>"


def _provenance(manifest: StudyManifest) -> str:
    machine = manifest.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items() if version)
    lines = [
        f"- Command: `{manifest.command}`",
        f"- Code: {', '.join(f'`{commit}`' for commit in manifest.commits) or 'unknown commit'}",
        f"- Machine: {machine.get('cpu')}, {machine.get('cores')} cores"
        + (f", {gpu}" if (gpu := machine.get("gpu")) else ""),
        f"- Versions: {versions}",
    ]
    return "\n".join(lines)


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
