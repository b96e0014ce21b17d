# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A profile as tables for the terminal and as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from prettytable import PrettyTable

from zprl.profiling.accuracy import RULES, Errors
from zprl.profiling.contenders import OURS
from zprl.profiling.profiler import DRAM_BYTES, CellResult, ContenderResult, ProfileReport, ShapeFacts
from zprl.profiling.timing import Timing

_RULE_NAMES = {"max": "max", "rms": "rms", "cosine": "1-cos"}
_NONE = "-"

LEGEND = """\
max err, rms err: error against the float64 policy on the same weights, in units of the true chunk's RMS; 1-cos: of the
angle between them; rules: of ours. time/ours: median over ours, above 1 where ours is faster. Gflop/s: 2 x the
multiply-accumulates of the linear layers. peak: share of the arithmetic measured in this run on all threads. stream: at
batch 1, bytes of weights per second (the core's once per evaluation) over what one thread reads from a buffer of the
core's size. roof (GPU): the longer of two times, of the arithmetic at its peak and of moving every byte once, over the
median. GPU times are between events, launching from an idle GPU included; inputs alternate."""


@dataclass(frozen=True)
class Figures:
    """What follows from a contender's median time; None where it does not apply."""

    gflops: float | None = None
    """Rate of arithmetic [Gflop/s]."""
    percent_of_peak: float | None = None
    """Share of the machine's peak in the cell's precision [%]."""
    percent_of_stream: float | None = None
    """At batch 1: share of the bandwidth at which the weights could be read [%]."""
    percent_of_roof: float | None = None
    """On a GPU: share of what the roofline allows, that is of the arithmetic's peak or of the memory's bandwidth with
    every byte moved once, whichever takes longer [%]."""
    time_over_native: float | None = None
    """Median time over the native step's, or of an encoder that is not compiled over the eager one's."""


def figures(report: ProfileReport, cell: CellResult, result: ContenderResult) -> Figures:
    """Derive a contender's figures from its median time."""
    if result.timing is None:
        return Figures()
    seconds, facts = result.timing.median, report.facts(cell.shape)
    gflop = 1e-9 * facts.work.flops(cell.batch)
    peak = report.limits.gflops.get(cell.dtype)
    memory = report.limits.gbytes.get(DRAM_BYTES)
    roof = None
    if report.settings.on_cuda and peak and memory:
        roof = max(gflop / peak, 1e-9 * facts.work.compulsory_bytes(cell.batch, cell.dtype) / memory)
    ours = cell.contender(cell.ours).timing
    return Figures(
        gflops=gflop / seconds,
        percent_of_peak=100.0 * (gflop / seconds) / peak if peak else None,
        percent_of_stream=_percent_of_stream(report, facts, cell.dtype, seconds) if cell.batch == 1 else None,
        percent_of_roof=100.0 * roof / seconds if roof else None,
        time_over_native=seconds / ours.median if ours else None,
    )


def _percent_of_stream(report: ProfileReport, facts: ShapeFacts, dtype: str, seconds: float) -> float | None:
    """Share of the bandwidth at which a single row could read its weights [%]; None if that was not measured."""
    stream = report.limits.gbytes.get(facts.work.core_bytes(dtype))
    return 100.0 * 1e-9 * facts.work.weight_bytes(dtype) / seconds / stream if stream else None


# -- text --------------------------------------------------------------------------------------------------------------


def report_text(report: ProfileReport) -> str:
    """Return the whole profile as text: machine, a table per shape and precision, stages, and what the columns mean."""
    parts = ["\n".join(_machine_lines(report))]
    for facts in report.shapes:
        of_shape = [cell for cell in report.cells if cell.shape == facts.name]
        for dtype in report.settings.dtypes:
            cells = [cell for cell in of_shape if cell.dtype == dtype]
            if not cells:  # of an encoder, which runs in single precision alone
                continue
            parts.append(f"{_shape_line(facts, dtype)}\n{_cell_table(report, cells)}")
            if dtype in facts.action_errors:
                errors = ", ".join(f"{error:.1e}" for error in facts.action_errors[dtype])
                parts[-1] += (
                    "\nlargest errors of an executed action's components, in their own units, against float64 with the "
                    f"weights as trained: {errors}"
                )
        if any(cell.control_loop for cell in of_shape):
            parts.append(_control_loop_text(report, facts, of_shape))
        if not facts.part:
            parts.append(_stage_text(facts.name, [cell for cell in of_shape if cell.stages is not None]))
    parts += [_sum_text(whole, sums) for whole, sums in sums_of_parts(report).items()]
    return "\n\n".join([*parts, LEGEND])


@dataclass(frozen=True)
class PartSum:
    """A chunk of a policy that sees, from the medians of its two parts."""

    runs_on: tuple[str, str]
    """Who runs the encoder, and who the flow."""

    dtype: str
    """Precision of the flow; the encoder's is single."""

    batch: int
    encoder: float
    """Time of the encoder [s]."""
    flow: float
    """Time of the flow [s]."""

    @property
    def encoder_share(self) -> float:
        """Share of the encoder."""
        return self.encoder / (self.encoder + self.flow)


def sums_of_parts(report: ProfileReport) -> dict[str, list[PartSum]]:
    """Return, by shape, what its parts take together: as they run today, and of each rival that runs both."""
    parts = {facts.name: facts for facts in report.shapes if facts.part}
    sums: dict[str, list[PartSum]] = {facts.whole: [] for facts in parts.values()}
    for cell in report.cells:
        if cell.shape not in parts or parts[cell.shape].part != "flow":
            continue
        whole = parts[cell.shape].whole
        before = next(c for c in report.cells if c.shape == f"{whole} encoder" and c.batch == cell.batch)
        for pair in ((before.ours, cell.ours), *((name, name) for name in report.settings.rivals)):
            encoder, flow = before.contender(pair[0]).timing, cell.contender(pair[1]).timing
            if encoder and flow:
                sums[whole].append(PartSum(pair, cell.dtype, cell.batch, encoder.median, flow.median))
    return sums


def _sum_text(whole: str, sums: Sequence[PartSum]) -> str:
    columns = ["batch", "encoder on", "flow on", "encoder [ms]", "flow [ms]", "sum [ms]", "encoder %"]
    table = PrettyTable(["flow in", *columns], align="r")
    table.align.update({"flow in": "l", "encoder on": "l", "flow on": "l"})
    for s in sums:
        times = (f"{1e3 * seconds:,.3f}" for seconds in (s.encoder, s.flow, s.encoder + s.flow))
        table.add_row([s.dtype, f"{s.batch:,}", *s.runs_on, *times, f"{100.0 * s.encoder_share:.0f}"])
    return f"{whole}: a chunk, from the medians of its parts\n{table.get_string()}"


def _machine_lines(report: ProfileReport) -> list[str]:
    machine, limits = report.machine, report.limits
    versions: Any = machine["versions"]
    flags: Any = machine["cpu_flags"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, threads: {machine['threads']}, avx512_bf16 "
        f"{'yes' if flags['avx512_bf16'] else 'no'}, native level {machine['cpu_level'] or 'unknown'}"
        + (f", {machine['gpu']}" if machine["gpu"] else ""),
        ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items()),
    ]
    peaks = [f"{dtype} {value:,.0f} Gflop/s" for dtype, value in limits.gflops.items()]
    lines += [f"peak: {', '.join(peaks)}"] if peaks else []
    streams = [
        f"{'256 MiB' if size == DRAM_BYTES else f'{size / 2**20:.1f} MiB'} {value:,.1f} GB/s"
        for size, value in sorted(limits.gbytes.items())
    ]
    lines += [f"reading: {', '.join(streams)}"] if streams else []
    return [*lines, *limits.notes, *machine["kernels"]]  # type: ignore[misc]


def _shape_line(facts: ShapeFacts, dtype: str) -> str:
    work = facts.work
    if facts.part == "encoder":
        return f"{facts.name}, {dtype}: {work.macs:,} multiply-accumulates; ours is what runs today, torch"
    rules = ", ".join(f"{_RULE_NAMES[name]} <= {limit:g}" for name, limit in RULES[dtype].items())
    return (
        f"{facts.name}, {dtype}: {facts.solver}, {facts.steps} steps, {work.macs:,} multiply-accumulates per chunk "
        f"({work.core_macs:,} x {work.evaluations} + {work.encode_macs + work.condition_macs:,}); rules: {rules}"
    )


def _cell_table(report: ProfileReport, cells: Sequence[CellResult]) -> str:
    errors, times = ["max err", "rms err", "1-cos", "rules"], ["median [ms]", "p10", "p99", "calls", "time/ours"]
    on_cuda = report.settings.on_cuda
    limits = ["peak", "roof" if on_cuda else "stream"]
    table = PrettyTable(["batch", "runs on", *errors, *times, "Gflop/s", *limits, "note"], align="r")
    table.align.update({"runs on": "l", "note": "l"})
    for cell in cells:
        for result in cell.contenders:
            derived = figures(report, cell, result)
            table.add_row(
                [
                    f"{cell.batch:,}",
                    result.name,
                    *_error_cells(result.errors),
                    _verdict(result),
                    *_timing_cells(result.timing),
                    _number(derived.time_over_native, ".2f"),
                    _number(derived.gflops, ",.1f"),
                    _number(derived.percent_of_peak, ".1f", " %"),
                    _number(derived.percent_of_roof if on_cuda else derived.percent_of_stream, ".1f", " %"),
                    result.note or result.description,
                ],
                divider=result is cell.contenders[-1],
            )
    return table.get_string()


def _verdict(result: ContenderResult) -> str:
    if result.name not in OURS or result.errors is None:
        return _NONE
    return "BROKEN: " + ", ".join(_RULE_NAMES[name] for name in result.broken_rules) if result.broken_rules else "ok"


def _control_loop_text(report: ProfileReport, facts: ShapeFacts, cells: Sequence[CellResult]) -> str:
    columns = ["median [ms]", "p10", "p99", "calls", "p99/median", "machine's p99/median", "stream"]
    table = PrettyTable(["precision", *columns], align="r")
    table.align["precision"] = "l"
    for cell in cells:
        if cell.control_loop is None:
            continue
        step, machine = cell.control_loop.step, cell.control_loop.machine
        table.add_row(
            [
                cell.dtype,
                *_timing_cells(step),
                *(f"{timing.p99 / timing.median:.2f}" for timing in (step, machine)),
                _number(_percent_of_stream(report, facts, cell.dtype, step.median), ".1f", " %"),
            ]
        )
    title = f"{facts.name}: the native step alone at batch 1, without torch, in turns with plain arithmetic"
    return f"{title}\n{table.get_string()}"


def _stage_text(shape: str, cells: Sequence[CellResult]) -> str:
    if not cells:
        return f"{shape}: the native step's stages were not measured (not on this device, or not by this build)"
    splits = [cell.stages or {} for cell in cells]
    stages = list(dict.fromkeys(stage for split in splits for stage in split))
    columns = [(f"{cell.dtype} batch {cell.batch:,} [us]", f"{cell.dtype} batch {cell.batch:,} %") for cell in cells]
    table = PrettyTable(["stage", *chain(*columns)], align="r")
    table.align["stage"] = "l"
    for stage in [*stages, None]:  # the sum comes last
        row = ["sum" if stage is None else stage]
        for split in splits:
            total = sum(split.values())
            seconds = total if stage is None else split.get(stage, 0.0)
            row += [f"{1e6 * seconds:,.1f}", f"{100 * seconds / total:.0f}" if total > 0.0 else _NONE]
        table.add_row(row, divider=bool(stages) and stage == stages[-1])
    return f"{shape}: stages of the native step on one thread, all evaluations together\n{table.get_string()}"


def _timing_cells(timing: Timing | None) -> list[str]:
    if timing is None:
        return [_NONE] * 4
    return [*(f"{1e3 * x:,.3f}" for x in (timing.median, timing.p10, timing.p99)), f"{timing.repetitions:,}"]


def _error_cells(errors: Errors | None) -> list[str]:
    if errors is None:
        return [_NONE] * 3
    return ["not finite" if math.isnan(x) else f"{x:.1e}" for x in (errors.max, errors.rms, errors.cosine)]


def _number(value: float | None, form: str, unit: str = "") -> str:
    return _NONE if value is None else f"{value:{form}}{unit}"


# -- JSON --------------------------------------------------------------------------------------------------------------


def report_to_dict(report: ProfileReport) -> dict[str, Any]:
    """Return the whole profile as plain values for JSON. Times are in seconds; what does not exist is None."""
    cells = [(cell, {"shape": cell.shape, "dtype": cell.dtype}) for cell in report.cells]
    return {
        "format": "zprl-profile",
        "version": 1,
        "settings": asdict(report.settings),
        "machine": report.machine,
        "limits": asdict(report.limits),
        "rules": RULES,
        "shapes": [_shape_dict(facts, report.settings.dtypes) for facts in report.shapes],
        "cells": [
            {**key, "batch": cell.batch, "contenders": [_contender_dict(report, cell, r) for r in cell.contenders]}
            for cell, key in cells
        ],
        "stages": [
            {**key, "batch": cell.batch, "seconds": cell.stages} for cell, key in cells if cell.stages is not None
        ],
        "sums": [
            {"shape": whole, **asdict(part_sum), "encoder_share": part_sum.encoder_share}
            for whole, sums in sums_of_parts(report).items()
            for part_sum in sums
        ],
        "control_loops": [{**key, **asdict(cell.control_loop)} for cell, key in cells if cell.control_loop],
    }


def _shape_dict(facts: ShapeFacts, dtypes: Sequence[str]) -> dict[str, Any]:
    work = facts.work
    return {
        "name": facts.name,
        "solver": facts.solver,
        "steps": facts.steps,
        "macs": work.macs,
        **asdict(work),
        "core_bytes": {dtype: work.core_bytes(dtype) for dtype in dtypes},
        "weight_bytes": {dtype: work.weight_bytes(dtype) for dtype in dtypes},
        "action_errors": facts.action_errors,
    }


def _contender_dict(report: ProfileReport, cell: CellResult, result: ContenderResult) -> dict[str, Any]:
    values = asdict(result) | asdict(figures(report, cell, result))
    if result.errors is not None:
        # JSON has no NaN; the broken rules say that these are not finite.
        values["errors"] = {k: None if math.isnan(v) else v for k, v in values["errors"].items()}
    return values
