# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record demonstrations of a task's scripted expert into an HDF5 file.

Example: python scripts/collect_demos.py --task Zprl-Lift-Franka --num_demos 100 --dataset_file demos.hdf5
"""

import argparse

from zprl.commands import options as commands
from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_task_arguments(parser)
    parser.set_defaults(seed=0)
    parser.add_argument("--num_demos", type=commands.positive_int, default=100, help="episodes (default: %(default)s)")
    parser.add_argument(
        "--quality",
        choices=("mixed", "expert"),
        default="mixed",
        help="mixed errs in grasp place, actions and speed; expert does not (default: %(default)s)",
    )
    parser.add_argument("--dataset_file", default=None, metavar="F", help="file to write (default: below datasets/)")
    args, overrides = commands.parse(parser)
    commands.collect_demos(args, overrides)


if __name__ == "__main__":
    run_cli(main)
