# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluate a checkpoint or an exported bundle, and its base policy, on the same initial states, deterministic.

Example: python scripts/evaluate.py --task Zprl-Lift-Franka --checkpoint latest --episodes 200 --json result.json
"""

import argparse

from zprl.commands import options as commands
from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_task_arguments(parser)
    parser.add_argument("--num_envs", type=commands.positive_int, default=None, help="number of parallel worlds")
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="latest|base|PATH|BUNDLE",
        help="what to evaluate (default: %(default)s)",
    )
    parser.add_argument(
        "--format", default=None, metavar="NAME", help="of a bundle, the format to run (default: its first)"
    )
    parser.add_argument(
        "--base", default=None, metavar="PATH", help="with --checkpoint base: which (default: the newest)"
    )
    parser.add_argument("--episodes", type=commands.positive_int, default=200, help="episodes (default: %(default)s)")
    parser.add_argument("--json", default=None, metavar="F", help="file to write the result to")
    args, overrides = commands.parse(parser)
    commands.evaluate(args, overrides)


if __name__ == "__main__":
    run_cli(main)
