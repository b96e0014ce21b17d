# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Compare methods, or the values of a setting, over several seeds: runs the grid and writes a report.

The runs share budget, demonstrations, base policy and evaluation episodes. Run the same command again to continue.

Example: python scripts/study.py --task Zprl-Lift-Franka --methods zprl,action_residual --seeds 0,1,2 --budget 500000
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from zprl.commands import options as commands
from zprl.utils.errors import run_cli


def comma_separated[T](parse: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Return what parses a list such as "0,1,2", for argparse."""

    def values(text: str) -> list[T]:
        return [parse(part.strip()) for part in text.split(",")]

    values.__name__ = f"list of {parse.__name__}"  # for argparse's message
    return values


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="task id, such as Zprl-Lift-Franka")
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:N] (default: %(default)s)")
    parser.add_argument(
        "--methods",
        type=comma_separated(str),
        default=None,
        metavar="M,...",
        help="methods to compare; docs/methods.md",
    )
    parser.add_argument(
        "--ablation", default=None, metavar="NAME", help="setting to vary: lambda, z_dim, beta, num_demos or bottleneck"
    )
    parser.add_argument(
        "--values", type=comma_separated(float), default=None, metavar="V,...", help="values of the ablation"
    )
    parser.add_argument(
        "--algos",
        type=comma_separated(str),
        default=None,
        metavar="A,...",
        help="learners (default: ppo,sac; sac for an ablation)",
    )
    parser.add_argument(
        "--seeds", type=comma_separated(commands.seed_int), default=[0, 1, 2], metavar="S,...", help="default: 0,1,2"
    )
    parser.add_argument(
        "--budget",
        type=commands.positive_int,
        default=512_000,
        metavar="STEPS",
        help="environment steps of each run, rounded up to whole iterations (default: %(default)s)",
    )
    parser.add_argument(
        "--evaluations", type=commands.positive_int, default=10, help="evaluations of each run (default: %(default)s)"
    )
    parser.add_argument("--num_envs", type=commands.positive_int, default=None, help="number of parallel worlds")
    parser.add_argument(
        "--jobs",
        type=commands.positive_int,
        default=len(os.sched_getaffinity(0)),
        help="runs at once (default: one per core)",
    )
    parser.add_argument("--base", default=None, metavar="PATH", help="base policy of all runs instead of training one")
    parser.add_argument("--dataset_file", default=None, metavar="F", help="demonstrations instead of collecting them")
    parser.add_argument("--name", default=None, help='name of the study (default: "methods", or the ablation\'s)')
    parser.add_argument("--output", default=None, metavar="DIR", help="report (default: docs/results/NAME)")
    parser.add_argument("--report_only", action="store_true", help="write the report of what is there, and run nothing")
    args, overrides = commands.parse(parser)
    sys.exit(1 if commands.study(args, overrides, Path(__file__).parent) else 0)


if __name__ == "__main__":
    run_cli(main)
