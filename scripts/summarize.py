# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Print a table of finished runs and draw their learning curves in one figure.

Example: python scripts/summarize.py logs/rsl_rl/zprl_lift_franka/2026-* --figure learning_curves.png
"""

import argparse
from pathlib import Path

from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--figure", type=Path, default=None, metavar="PNG", help="figure to write")
    args = parser.parse_args()

    from zprl.evaluation.summary import summarize

    print(summarize(args.runs, args.figure))


if __name__ == "__main__":
    run_cli(main)
