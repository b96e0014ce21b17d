# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train the base policy on demonstrations, and check what its bottleneck costs.

Example: python scripts/pretrain.py --task Zprl-Lift-Franka --dataset_file demos.hdf5 agent.pretrain.num_steps=5000
"""

import argparse

from zprl.commands import options as commands
from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_task_arguments(parser)
    parser.add_argument("--dataset_file", default=None, metavar="F", help="demonstrations (default: collect them)")
    parser.add_argument(
        "--output", default=None, metavar="PATH", help="file to write (default: below logs/base_policy/)"
    )
    args, overrides = commands.parse(parser)
    commands.pretrain(args, overrides)


if __name__ == "__main__":
    run_cli(main)
