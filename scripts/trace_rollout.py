# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Trace some chunks of a training rollout and count where the host waits for the GPU.

Example: python scripts/trace_rollout.py --task Zprl-Lift-Franka --device cuda:0 --num_envs 2048 --trace rollout.json
"""

import argparse
from pathlib import Path

from zprl.commands import options as commands
from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments and trace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_task_arguments(parser)
    parser.add_argument("--num_envs", type=commands.positive_int, default=None, help="number of parallel worlds")
    parser.add_argument("--base", default=None, metavar="PATH", help="base policy (default: the task's newest)")
    parser.add_argument("--chunks", type=commands.positive_int, default=8, help="chunks to trace (default: 8)")
    parser.add_argument("--trace", type=Path, default=None, metavar="FILE", help="write a trace for chrome://tracing")
    args, overrides = commands.parse(parser)
    commands.trace_rollout(args, overrides)


if __name__ == "__main__":
    run_cli(main)
