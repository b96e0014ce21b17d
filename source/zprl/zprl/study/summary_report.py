# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The report of a study: that of its task, or those of its tasks with a summary over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from zprl.evaluation.report import markdown_table
from zprl.study.manifest import StudyManifest
from zprl.study.plots import plot_summary
from zprl.study.report import interval_cell, last_lines, missing_list, provenance, results_table, write_report
from zprl.study.results import VariantResult
from zprl.study.summary import GAP_LEVEL, VariantSummary, summarize_variants
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump, atomic_write

_COMMON = ("budget", "evaluated at", "ablation")
"""What studies of several tasks must have in common to be summarized; see ``StudyManifest.pinned``."""


def write_reports(studies: Sequence[tuple[StudyManifest, Path]], output: Path) -> None:
    """Write the report of a study's finished runs, and print its tables.

    With several tasks each has its report in a folder of its own, and ``README.md``, ``report.json`` and
    ``summary.png`` say what variants reach over all of them.

    Args:
        studies: What the study's folder of each task says, at least one, and the folder.
        output: Folder to write to.

    Raises:
        ZprlError: If tasks were studied with different budgets.
    """
    first, _ = studies[0]
    for manifest, _ in studies:
        for name in _COMMON:
            ours, theirs = manifest.pinned[name], first.pinned[name]
            if ours != theirs:
                raise ZprlError(
                    f"the studies of {first.task} and {manifest.task} differ in {name} ({theirs} and {ours}), so there "
                    "is no summary over them; report each by itself, or choose another --name."
                )
    if len(studies) == 1:
        write_report(first, studies[0][1], output)
        return
    results = {}
    for manifest, folder in studies:
        print(f"\n{manifest.task}")
        results[manifest.task] = write_report(manifest, folder, output / manifest.task)
    _write_summary(studies, results, output)


def _write_summary(
    studies: Sequence[tuple[StudyManifest, Path]], results: Mapping[str, Sequence[VariantResult]], output: Path
) -> None:
    first, _ = studies[0]
    summaries = summarize_variants(results, first.marks)
    has_figure = any(summary.final_success is not None for summary in summaries)
    if has_figure:
        plot_summary(output / "summary.png", summaries, first.marks, f"interquartile means over {len(studies)} tasks")
    missing = {
        f"{manifest.task}/{name}": line
        for manifest, folder in studies
        for name, line in last_lines(_missing(manifest, results[manifest.task]), folder).items()
    }
    atomic_json_dump(
        {
            "name": first.name,
            "tasks": [manifest.task for manifest, _ in studies],
            **{name: first.pinned[name] for name in _COMMON},
            "seeds": {manifest.task: manifest.seeds for manifest, _ in studies},
            "commits": list(dict.fromkeys(commit for manifest, _ in studies for commit in manifest.commits)),
            "command": first.command,
            "gap level": GAP_LEVEL,
            "summary": [asdict(summary) for summary in summaries],
            "missing": missing,
        },
        output / "report.json",
    )
    with atomic_write(output / "README.md") as file:
        file.write(_markdown(studies, results, summaries, missing, has_figure).encode())
    print(f"\nover {len(studies)} tasks\n{summary_table(summaries)}")
    print(f"report: {output}/README.md")


def _missing(manifest: StudyManifest, results: Sequence[VariantResult]) -> list[str]:
    """Return the names of the runs that have no result."""
    found = {(result.variant.name, run.seed) for result in results for run in result.runs}
    return [run.name for run in manifest.runs if (run.variant.name, run.seed) not in found]


def _markdown(
    studies: Sequence[tuple[StudyManifest, Path]],
    results: Mapping[str, Sequence[VariantResult]],
    summaries: Sequence[VariantSummary],
    missing: Mapping[str, str],
    has_figure: bool,
) -> str:
    first, _ = studies[0]
    parts = [
        f"# Study {first.name}: {len(studies)} tasks",
        f"Every run takes {first.marks[-1]:,} environment steps and is evaluated at {len(first.marks)} marks, on each "
        "task in its own episodes and from its own base policy.",
    ]
    if missing:
        parts.append(missing_list(missing))
    if has_figure:
        parts.append("![Summary](summary.png)")
    level = f"{100 * GAP_LEVEL:.0f} %"
    parts += [
        "## Summary over the tasks",
        summary_table(summaries),
        "Interquartile means (the mean of the middle half) over the runs of all tasks, with 95 % intervals of the "
        "bootstrap that draws seeds anew within each task (arXiv 2108.13264); with few seeds they are too narrow, with "
        "three by about a fifth. The gap is what a variant's base policy lacks to certain success: (final - base) / "
        f"(1 - base) of it is closed, and a run that never closes {level} counts as the whole budget. A variant has "
        "numbers once every task has a run of it; runs whose base policy always succeeds count for the success alone.",
    ]
    for manifest, _ in studies:
        parts.append(f"## {manifest.task}")
        parts.append(results_table(results[manifest.task], manifest.marks[-1]))
        parts.append(f"Curves, settings and more: [{manifest.task}]({manifest.task}/README.md).")
    parts += ["## How it was made", provenance(first)]
    return "\n\n".join(parts) + "\n"


def summary_table(summaries: Sequence[VariantSummary]) -> str:
    """Return the table of what variants reach over all tasks, a row each."""
    header = ["", "runs", "final success [%]", "gap closed [%]", f"10³ steps to {100 * GAP_LEVEL:.0f} % of the gap"]
    rows = []
    for summary in summaries:
        steps, num_runs = interval_cell(summary.steps_to_gap_level, 1e-3), sum(summary.num_runs.values())
        if summary.steps_to_gap_level is not None:
            steps += f" ({summary.num_reached} of {summary.steps_to_gap_level.count} got there)"
        cells = [interval_cell(estimate, 100) for estimate in (summary.final_success, summary.gap_closed)]
        rows.append([summary.variant.label, str(num_runs), *cells, steps])
    return markdown_table(header, rows)
