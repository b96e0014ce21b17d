# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure the native policy step: its error, its time beside other runtimes, its stages and the machine's limits.

Examples:
    python scripts/profile_kernels.py --shapes A,B,task:Zprl-Lift-Franka --threads 1 --json profile.json
    python scripts/profile_kernels.py --shapes A --batch 1,64 --dtype float32 --rivals eager,jit,onnx,compile
    python scripts/profile_kernels.py --device cuda --batch 1,8192 --dtype tf32,bfloat16 --rivals eager,graph,jit
"""

import argparse
import os
from pathlib import Path

from zprl.utils.errors import ZprlError, run_cli


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="A,B", help="A, B, task:ID (the task's newest base policy)")
    parser.add_argument("--batch", default="1,8,64,256,1024", help="batch sizes")
    parser.add_argument("--dtype", default="float32,bfloat16", help="float32, bfloat16, and tf32 on a GPU")
    parser.add_argument("--rivals", default="eager,jit,onnx", help="eager, jit, onnx, compile (minutes), graph (GPU)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of everyone")
    parser.add_argument("--solver", default="", help="euler, midpoint, heun, rk4; the shape's own by default")
    parser.add_argument("--steps", default="", help="solver steps K, for example 1,4,10; the shape's own by default")
    parser.add_argument("--budget", type=float, default=1.0, help="time for all contenders of a cell [s]")
    parser.add_argument("--seed", type=int, default=0, help="seed of random weights and data")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write every figure")
    parser.add_argument("--trace", type=Path, default=None, metavar="FILE", help="write a trace for chrome://tracing")
    parser.add_argument("--plot", type=Path, default=None, metavar="PNG", help="draw a roofline plot")
    args = parser.parse_args()

    from zprl.profiling.output import check_writable, write_outputs
    from zprl.profiling.profiler import ProfileSettings, profile_policy_step
    from zprl.profiling.report import report_text

    files = {"json": args.json, "trace": args.trace, "plot": args.plot}
    check_writable(files)
    settings = ProfileSettings(
        shapes=_names(args.shapes),
        batches=[_whole_number(text, "batch size") for text in _names(args.batch)],
        dtypes=_names(args.dtype),
        rivals=_names(args.rivals),
        device=args.device,
        threads=args.threads,
        solvers=_names(args.solver),
        steps=[_whole_number(text, "number of steps") for text in _names(args.steps)],
        budget=args.budget,
        seed=args.seed,
    )
    report = profile_policy_step(settings, report=print)
    print(f"\n{report_text(report)}", flush=True)
    write_outputs(report, files)
    report.check()


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _whole_number(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ZprlError(f"the {what} '{text}' is no whole number; write for example 1,64.") from error


if __name__ == "__main__":
    run_cli(main)
