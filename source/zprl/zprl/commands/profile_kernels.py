# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure the native policy step: its error, its time beside other runtimes, its stages and the machine's limits.

Examples:
    python scripts/profile_kernels.py --shapes A,B,task:Zprl-Lift-Franka --threads 1 --json profile.json
    python scripts/profile_kernels.py --shapes A --batch 1,64 --dtype float32 --rivals eager,jit,onnx,compile
    python scripts/profile_kernels.py --device cuda --batch 1,8192 --dtype tf32,bfloat16 --rivals eager,graph,jit
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from zprl.commands.options import Command
from zprl.utils.errors import ZprlError


@dataclass(frozen=True, kw_only=True)
class ProfileKernelsOptions:
    """Options of the command; see :class:`zprl.profiling.profiler.ProfileSettings`."""

    shapes: tuple[str, ...] = ("A", "B")
    """Shapes: "A", "B" or "task:ID"."""
    batch: tuple[int, ...] = (1, 8, 64, 256, 1024)
    """Batch sizes."""
    dtype: tuple[str, ...] = ("float32", "bfloat16")
    """Precisions."""
    rivals: tuple[str, ...] = ("eager", "jit", "onnx")
    """Names of the rivals."""
    device: str = "cpu"
    """Device: "cpu" or "cuda"."""
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    """Number of threads of everyone."""
    solver: tuple[str, ...] = ()
    """Solvers of the flow; the shape's own if there are none."""
    steps: tuple[int, ...] = ()
    """Numbers of solver steps; the shape's own if there are none."""
    budget: float = 1.0
    """Time for all contenders of a cell [s]."""
    seed: int = 0
    """Seed of random weights and data."""
    json: Path | None = None
    """File for every figure, or None."""
    trace: Path | None = None
    """File for a trace, or None."""
    plot: Path | None = None
    """PNG for a roofline plot, or None."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`ProfileKernelsOptions`."""
    parser.add_argument("--shapes", type=_names, help="A, B, task:ID (the task's newest base policy)")
    parser.add_argument("--batch", type=_whole_numbers("batch size"), help="batch sizes")
    parser.add_argument("--dtype", type=_names, help="float32, bfloat16, and tf32 on a GPU")
    parser.add_argument("--rivals", type=_names, help="eager, jit, onnx, compile (minutes), graph (GPU), once, twice")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="threads of everyone")
    parser.add_argument("--solver", type=_names, help="euler, midpoint, heun, rk4; the shape's own by default")
    parser.add_argument(
        "--steps",
        type=_whole_numbers("number of steps"),
        help="solver steps K, for example 1,4,10; the shape's own by default",
    )
    parser.add_argument("--budget", type=float, help="time for all contenders of a cell [s]")
    parser.add_argument("--seed", type=int, help="seed of random weights and data")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write a trace for chrome://tracing")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw a roofline plot")


def run(options: ProfileKernelsOptions) -> None:
    """Measure, print and write.

    Raises:
        ZprlError: If a setting is unknown, a file cannot be written, or the native step is wrong.
    """
    from zprl.profiling.output import check_writable, write_outputs
    from zprl.profiling.profiler import ProfileSettings, profile_policy_step
    from zprl.profiling.report import report_text

    files = {"json": options.json, "trace": options.trace, "plot": options.plot}
    check_writable(files)
    settings = ProfileSettings(
        shapes=options.shapes,
        batches=options.batch,
        dtypes=options.dtype,
        rivals=options.rivals,
        device=options.device,
        threads=options.threads,
        solvers=options.solver,
        steps=options.steps,
        budget=options.budget,
        seed=options.seed,
    )
    report = profile_policy_step(settings, report=print)
    print(f"\n{report_text(report)}", flush=True)
    write_outputs(report, files)
    report.check()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _whole_numbers(what: str) -> Callable[[str], tuple[int, ...]]:
    def parse(text: str) -> tuple[int, ...]:
        return tuple(_whole_number(name, what) for name in _names(text))

    return parse


def _whole_number(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ZprlError(f"the {what} '{text}' is no whole number; write for example 1,64.") from error


COMMAND = Command(__doc__, ProfileKernelsOptions, add_arguments, run, takes_overrides=False)
