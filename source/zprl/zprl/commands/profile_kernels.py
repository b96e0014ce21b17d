# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure the native policy step: its error, its time beside other runtimes, its stages and the machine's limits.

With --estimate nothing is measured: what the CUDA kernels are expected to take on an H200, without one.

Examples:
    python scripts/profile_kernels.py --shapes A,B,task:Zprl-Lift-Franka --threads 1 --json profile.json
    python scripts/profile_kernels.py --shapes A --batch 1,64 --dtype float32 --rivals eager,jit,onnx,compile
    python scripts/profile_kernels.py --shapes V,task:Zprl-Lift-Franka-Visual --batch 1,64 --dtype float32
    python scripts/profile_kernels.py --device cuda --batch 1,8192 --dtype tf32,bfloat16 --rivals eager,graph,jit
    python scripts/profile_kernels.py --device cuda --estimate
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zprl.commands.options import Command
from zprl.utils.arguments import option, seed_int
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.profiling.profiler import ProfileSettings


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _whole_numbers(what: str) -> Callable[[str], tuple[int, ...]]:
    def whole_number(text: str) -> int:
        try:
            return int(text)
        except ValueError as error:
            raise ZprlError(f"the {what} '{text}' is no whole number; write for example 1,64.") from error

    return lambda text: tuple(map(whole_number, _names(text)))


@dataclass(frozen=True, kw_only=True)
class ProfileKernelsOptions:
    """Options of the command; see :class:`zprl.profiling.profiler.ProfileSettings`."""

    shapes: tuple[str, ...] = option(
        "A, B, U (the paper's U-Net), V (two cameras; encoder and flow apart), task:ID (the task's newest base policy)",
        ("A", "B"),
        type=_names,
    )
    batch: tuple[int, ...] | None = option(
        "batch sizes; 1,8,64,256,1024 by default, 1,64,1024,8192 for an estimate",
        None,
        type=_whole_numbers("batch size"),
    )
    dtype: tuple[str, ...] | None = option(
        "float32, bfloat16, and tf32 on a GPU; the first two by default, bfloat16 for an estimate", None, type=_names
    )
    rivals: tuple[str, ...] = option(
        "eager, jit, onnx, compile (minutes), graph (GPU), once, twice", ("eager", "jit", "onnx"), type=_names
    )
    device: str = option("cpu or cuda", "cpu")
    estimate: bool = option("print what is expected on an H200 instead of measuring; with --device cuda", False)
    threads: int = option("threads of everyone", len(os.sched_getaffinity(0)))
    solver: tuple[str, ...] = option("euler, midpoint, heun, rk4; the shape's own by default", (), type=_names)
    steps: tuple[int, ...] = option(
        "solver steps K, for example 1,4,10; the shape's own by default", (), type=_whole_numbers("number of steps")
    )
    budget: float = option("time for all contenders of a cell [s]", 1.0)
    seed: int = option("seed of random weights and data", 0, type=seed_int)
    json: Path | None = option("file to write every figure to", None, writes="file", metavar="FILE")
    trace: Path | None = option("file to write a trace for chrome://tracing to", None, writes="file", metavar="FILE")
    plot: Path | None = option("file to write a roofline plot to", None, writes="file", metavar="PNG")

    def settings(self) -> ProfileSettings:
        """Return what to measure or to estimate."""
        from zprl.profiling.estimate import BATCHES, DTYPES
        from zprl.profiling.profiler import ProfileSettings

        usual = ProfileSettings()
        batches, dtypes = (BATCHES, DTYPES) if self.estimate else (usual.batches, usual.dtypes)
        return ProfileSettings(
            shapes=self.shapes,
            batches=batches if self.batch is None else self.batch,
            dtypes=dtypes if self.dtype is None else self.dtype,
            rivals=self.rivals,
            device=self.device,
            threads=self.threads,
            solvers=self.solver,
            steps=self.steps,
            budget=self.budget,
            seed=self.seed,
        )


def run(options: ProfileKernelsOptions) -> None:
    """Measure, print and write.

    Raises:
        ZprlError: If a setting is unknown, a file cannot be written, or the native step is wrong.
    """
    if options.estimate:
        _estimate(options)
        return
    from zprl.profiling.output import write_outputs
    from zprl.profiling.profiler import profile_policy_step
    from zprl.profiling.report import report_text

    files = {"json": options.json, "trace": options.trace, "plot": options.plot}
    report = profile_policy_step(options.settings(), report=print)
    try:
        write_outputs(report, files)  # before it is printed: whoever reads that may have gone
    finally:
        print(f"\n{report_text(report)}", flush=True)
    report.check()


def _estimate(options: ProfileKernelsOptions) -> None:
    from zprl.profiling.estimate import estimate_policy_step, estimate_text
    from zprl.utils.files import atomic_json_dump

    if not options.device.startswith("cuda"):
        raise ZprlError("an estimate is of the CUDA kernels; add --device cuda, or leave out --estimate.")
    if options.trace is not None or options.plot is not None:
        raise ZprlError("an estimate has neither a trace nor a plot; leave out --trace and --plot.")
    report = estimate_policy_step(options.settings())
    if options.json is not None:
        atomic_json_dump(report.to_dict(), options.json)
    print(estimate_text(report), flush=True)


COMMAND = Command(__doc__, ProfileKernelsOptions, run, takes_overrides=False)
