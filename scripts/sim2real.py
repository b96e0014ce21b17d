# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Run an exported bundle in the simulator under what a real robot would do to it, base against steered policy.

Example: python scripts/sim2real.py --task Zprl-Lift-Franka --bundle lift_bundle --episodes 200 --plot sim2real.png
"""

import argparse

from zprl.commands import options as commands
from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_task_arguments(parser)
    parser.add_argument("--bundle", required=True, metavar="DIR", help="bundle that scripts/export.py wrote")
    parser.add_argument("--format", default=None, metavar="NAME", help="format to run (default: the bundle's first)")
    parser.add_argument("--num_envs", type=commands.positive_int, default=None, help="number of parallel worlds")
    parser.add_argument("--episodes", type=commands.positive_int, default=200, help="episodes (default: %(default)s)")
    parser.add_argument(
        "--disturbances",
        default=None,
        metavar="NAME[=STRENGTH],...",
        help="disturbances, see zprl/robustness/catalogue.py (default: all of them)",
    )
    parser.add_argument("--json", default=None, metavar="F", help="file to write the result to")
    parser.add_argument("--plot", default=None, metavar="F", help="PNG file to draw the result into")
    args, overrides = commands.parse(parser)
    commands.sim2real(args, overrides)


if __name__ == "__main__":
    run_cli(main)
