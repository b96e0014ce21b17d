# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the native step spends its time, stage by stage, and a trace of it for a browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zprl.policies import FlowPolicy
from zprl.profiling.contenders import NATIVE, native_step
from zprl.profiling.machine import native_core
from zprl.profiling.timing import Samples

_STAGE_SECONDS = 0.3
_MIN_REPEATS, _MAX_REPEATS = 5, 2000
TRACED_CALLS = 3
"""Number of rounds of each cell that a trace shows."""


@dataclass(frozen=True)
class StageSplit:
    """Stages of the native step on one thread."""

    shape: str
    dtype: str
    batch: int
    seconds: dict[str, float]
    """Median duration of each stage per call [s], all evaluations together, in the order of the step."""


def split_stages(shape: str, policy: FlowPolicy, dtype: str, batch: int, call_seconds: float) -> StageSplit | None:
    """Measure the stages of the native step.

    Args:
        shape: Name of the shape.
        policy: Policy to run.
        dtype: Precision.
        batch: Number of rows.
        call_seconds: About how long a call takes [s]; sets the number of repetitions.

    Returns:
        The stages, or None if this build cannot measure them.
    """
    core = native_core()
    if core is None or not hasattr(core.Policy, "profile"):
        return None
    native = core.Policy(native_step(policy, dtype).blob.numpy())
    repeats = max(_MIN_REPEATS, min(int(_STAGE_SECONDS / max(call_seconds, 1e-6)), _MAX_REPEATS))
    return StageSplit(shape, dtype, batch, dict(native.profile(batch, repeats)))


def trace_events(
    cells: Iterable[tuple[str, Mapping[str, Samples]]], splits: Mapping[str, StageSplit]
) -> list[dict[str, Any]]:
    """Return events in Chrome's trace format: the last few rounds of every cell, one track per contender.

    Calls stand where they were measured. The stages inside a call of ours do not: they have the lengths that
    :func:`split_stages` measured, one after the other, and are cut where the call ends.

    Args:
        cells: Name of each cell, and its timed calls by contender.
        splits: Stages by the name of the cell.
    """
    events: list[dict[str, Any]] = []
    tracks: dict[str, int] = {}
    cells = list(cells)
    origin = min((s.starts[0] for _, samples in cells for s in samples.values() if s.starts), default=0.0)
    for cell, samples in cells:
        for contender, calls in samples.items():
            track = tracks.setdefault(contender, len(tracks))
            timed = list(zip(calls.starts, calls.seconds, strict=True))[-TRACED_CALLS:]
            for start, seconds in timed:
                events.append(_event(f"{contender} {cell}", start - origin, seconds, track))
                if contender == NATIVE and cell in splits:
                    events += _stage_events(splits[cell], start - origin, seconds, track)
    names = [{"ph": "M", "pid": 0, "tid": tid, "name": "thread_name", "args": {"name": n}} for n, tid in tracks.items()]
    return [{"ph": "M", "pid": 0, "name": "process_name", "args": {"name": "policy step"}}, *names, *events]


def _stage_events(split: StageSplit, start: float, seconds: float, track: int) -> list[dict[str, Any]]:
    events, offset = [], 0.0
    for stage, duration in split.seconds.items():
        visible = min(duration, seconds - offset)
        if visible > 0.0:
            events.append(_event(stage, start + offset, visible, track, {"median_us": 1e6 * duration}))
        offset += duration
    return events


def _event(name: str, start: float, seconds: float, track: int, args: dict[str, float] | None = None) -> dict[str, Any]:
    """One complete event; the format counts in microseconds."""
    event = {"ph": "X", "pid": 0, "tid": track, "name": name, "ts": 1e6 * start, "dur": 1e6 * seconds}
    return event if args is None else {**event, "args": args}
