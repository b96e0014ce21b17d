# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure a task's speed on several physics engines in turn; ratios are to the last one named.

Example: python scripts/benchmark_physics.py --task Zprl-Lift-Franka --training latest mujoco:2 mujoco:1 newton_mjwarp
"""

import argparse
from pathlib import Path

from zprl.commands import options as commands
from zprl.runs import paths
from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="+", metavar="ENGINE", help="physics preset, or mujoco:N for N threads")
    parser.add_argument("--task", required=True, help="task id")
    parser.add_argument("--num_envs", type=commands.positive_int, default=256, help="number of parallel worlds")
    parser.add_argument("--rounds", type=commands.positive_int, default=3, help="measurements of each engine")
    parser.add_argument("--training", default=None, metavar="latest|PATH", help="also learn, steering this base policy")
    args = parser.parse_args()

    from zprl.profiling.physics import benchmark_physics, benchmark_table

    latest = args.training == "latest"
    base = paths.latest_base_policy(args.task) if latest else args.training and Path(args.training)
    print(benchmark_table(benchmark_physics(args.task, args.engines, args.num_envs, args.rounds, base=base)))


if __name__ == "__main__":
    run_cli(main)
