# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""List this project's tasks.

Example: python scripts/list_tasks.py --keyword Lift
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from zprl.commands.options import Command


@dataclass(frozen=True, kw_only=True)
class ListTasksOptions:
    """Options of the command."""

    keyword: str = "Zprl"
    """What the ids of the listed tasks contain."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`ListTasksOptions`."""
    parser.add_argument("--keyword", help="show the tasks whose id contains this (default: %(default)s)")


def run(options: ListTasksOptions) -> None:
    """Print the table."""
    from zprl.sim.isaaclab import list_tasks

    print(list_tasks(options.keyword))


COMMAND = Command(__doc__, ListTasksOptions, add_arguments, run, takes_overrides=False)
