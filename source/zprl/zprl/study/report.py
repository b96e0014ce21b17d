# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A study's report: README.md with tables, figures and everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zprl.study.grid import ABLATIONS
from zprl.study.latent_plots import plot_maps, plot_shift
from zprl.study.manifest import StudyManifest
from zprl.study.plots import plot_ablation, plot_curves
from zprl.study.results import VariantResult, load_results
from zprl.study.run_analysis import load_analyses
from zprl.study.scheduler import last_line
from zprl.study.tables import latent_table, results_table, settings_table, time_table
from zprl.utils.files import atomic_json_dump, atomic_write


def write_report(manifest: StudyManifest, folder: Path, output: Path) -> None:
    """Write the report of a study's finished runs, and print its table.

    Args:
        manifest: The study.
        folder: The study's folder.
        output: Folder to write into: ``README.md``, ``report.json``, ``curves.png``, of an ablation
            ``ablation.png``, and of ZPRL ``latent_shift.png`` and ``latent_maps.png``.
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
            "latent": {
                name: [{key: value for key, value in run.items() if key != "maps"} for run in runs]
                for name, runs in analyses.items()
            },
            "missing": logs,
        },
        output / "report.json",
    )
    with atomic_write(output / "README.md") as file:
        file.write(markdown(manifest, results, logs, figures, analyses).encode())
    print(results_table(results, manifest.marks[-1]))
    print(f"report: {output}/README.md")


def markdown(
    manifest: StudyManifest,
    results: Sequence[VariantResult],
    missing: dict[str, str],
    figures: dict[str, str],
    analyses: Mapping[str, Sequence[Mapping[str, Any]]],
) -> str:
    """Return the report's text.

    Args:
        manifest: The study.
        results: Results by variant.
        missing: Last line of the log of each run without a result, by its name.
        figures: File of each figure, by its caption.
        analyses: What :func:`zprl.study.latent_analysis.analyse` returned for the runs, by the variant's name.
    """
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
        f"Minutes are of reinforcement learning alone, with {manifest.jobs} run{'s' * (manifest.jobs > 1)} at once.",
        *(_latent_section(results, analyses) if analyses else ()),
        "## Settings",
        settings_table(manifest),
        "## How it was made",
        _provenance(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _latent_section(results: Sequence[VariantResult], analyses: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    return [
        "## What the residual does",
        latent_table([result.variant for result in results], analyses),
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
