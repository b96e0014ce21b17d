# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""List this project's tasks.

Example: python scripts/list_tasks.py --keyword Lift
"""

import argparse

from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--keyword", default="Zprl", help="show the tasks whose id contains this (default: %(default)s)"
    )
    args = parser.parse_args()

    from zprl.sim.isaaclab import list_tasks

    print(list_tasks(args.keyword))


if __name__ == "__main__":
    run_cli(main)
