# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Compare methods, or the values of a setting, over several seeds: runs the grid and writes a report.

The runs share budget, demonstrations, base policy and evaluation episodes. Run the same command again to continue.

Example: python scripts/study.py --task Zprl-Lift-Franka --methods zprl,action_residual --seeds 0,1,2 --budget 500000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zprl.commands.options import Command, comma_separated, positive_int, seed_int
from zprl.study.options import StudyOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`StudyOptions`."""
    parser.add_argument("--task", required=True, help="task id, such as Zprl-Lift-Franka")
    parser.add_argument("--device", help="cpu or cuda[:N] (default: %(default)s)")
    parser.add_argument(
        "--methods", type=comma_separated(str), metavar="M,...", help="methods to compare; docs/methods.md"
    )
    parser.add_argument(
        "--ablation", metavar="NAME", help="setting to vary: lambda, z_dim, beta, num_demos or bottleneck"
    )
    parser.add_argument("--values", type=comma_separated(float), metavar="V,...", help="values of the ablation")
    parser.add_argument(
        "--algos", type=comma_separated(str), metavar="A,...", help="learners (default: ppo,sac; sac for an ablation)"
    )
    parser.add_argument("--seeds", type=comma_separated(seed_int), metavar="S,...", help="default: 0,1,2")
    parser.add_argument(
        "--budget",
        type=positive_int,
        metavar="STEPS",
        help="environment steps of each run, rounded up to whole iterations (default: %(default)s)",
    )
    parser.add_argument("--evaluations", type=positive_int, help="evaluations of each run (default: %(default)s)")
    parser.add_argument("--num_envs", type=positive_int, help="number of parallel worlds")
    parser.add_argument("--jobs", type=positive_int, help="runs at once (default: one per core)")
    parser.add_argument("--base", type=Path, metavar="PATH", help="base policy of all runs instead of training one")
    parser.add_argument("--dataset_file", type=Path, metavar="F", help="demonstrations instead of collecting them")
    parser.add_argument("--name", help='name of the study (default: "methods", or the ablation\'s)')
    parser.add_argument("--output", type=Path, metavar="DIR", help="report (default: docs/results/NAME)")
    parser.add_argument("--report_only", action="store_true", help="write the report of what is there, and run nothing")


def run(options: StudyOptions, overrides: list[str]) -> None:
    """Run what is left of the study; exit with status 1 if a run failed."""
    from zprl.study.study import run_study

    if run_study(options, overrides):
        sys.exit(1)


COMMAND = Command(__doc__, StudyOptions, add_arguments, run)
