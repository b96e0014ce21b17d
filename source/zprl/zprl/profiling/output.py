# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The files that a profile can leave behind: JSON, plot, and a trace for a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zprl.profiling.contenders import NATIVE
from zprl.profiling.profiler import CellResult, ProfileReport
from zprl.profiling.report import report_to_dict
from zprl.profiling.roofline import plot_roofline
from zprl.utils.files import atomic_json_dump

TRACED_CALLS = 3
"""Number of rounds of each cell that a trace shows."""


def write_outputs(report: ProfileReport, files: Mapping[str, Path | None]) -> None:
    """Write the files that are wanted; each is complete or absent.

    Args:
        report: Profile.
        files: Path of the "json", the "trace" and the "plot"; None for those that are not wanted.

    Raises:
        OSError: If a file cannot be written.
    """
    for kind, path in files.items():
        if path is None:
            continue
        if kind == "plot":
            plot_roofline(path, report)
        else:
            atomic_json_dump(report_to_dict(report) if kind == "json" else _trace(report), path)


def _trace(report: ProfileReport) -> dict[str, object]:
    events = trace_events(report.cells)
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"cpu": report.machine["cpu"]}}


def trace_events(cells: Sequence[CellResult]) -> list[dict[str, Any]]:
    """Return events in Chrome's trace format: the last few rounds of every cell, one track per contender.

    Calls stand where they were measured. The stages inside a call of ours do not: they have the lengths that
    :func:`zprl.profiling.stages.split_stages` measured, one after the other, and are cut where the call ends.
    """
    events: list[dict[str, Any]] = []
    tracks: dict[str, int] = {}
    origin = min((s.starts[0] for cell in cells for s in cell.samples.values() if s.starts), default=0.0)
    for cell in cells:
        for contender, calls in cell.samples.items():
            track = tracks.setdefault(contender, len(tracks))
            stages = cell.stages if contender == NATIVE else None
            for start, seconds in list(zip(calls.starts, calls.seconds, strict=True))[-TRACED_CALLS:]:
                events.append(_event(f"{contender} {cell.name}", start - origin, seconds, track))
                events += _stage_events(stages or {}, start - origin, seconds, track)
    names = [{"ph": "M", "pid": 0, "tid": tid, "name": "thread_name", "args": {"name": n}} for n, tid in tracks.items()]
    return [{"ph": "M", "pid": 0, "name": "process_name", "args": {"name": "policy step"}}, *names, *events]


def _stage_events(stages: Mapping[str, float], start: float, seconds: float, track: int) -> list[dict[str, Any]]:
    events, offset = [], 0.0
    for stage, duration in stages.items():
        visible = min(duration, seconds - offset)
        if visible > 0.0:
            event = _event(stage, start + offset, visible, track)
            events.append({**event, "args": {"median_us": 1e6 * duration}})
        offset += duration
    return events


def _event(name: str, start: float, seconds: float, track: int) -> dict[str, Any]:
    """One complete event; the format counts in microseconds."""
    return {"ph": "X", "pid": 0, "tid": track, "name": name, "ts": 1e6 * start, "dur": 1e6 * seconds}
