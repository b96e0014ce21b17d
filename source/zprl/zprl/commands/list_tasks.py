# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""List this project's tasks.

Example: python scripts/list_tasks.py --keyword Lift
"""

from __future__ import annotations

from dataclasses import dataclass

from zprl.commands.options import Command
from zprl.utils.arguments import option


@dataclass(frozen=True, kw_only=True)
class ListTasksOptions:
    """Options of the command."""

    keyword: str = option("show the tasks whose id contains this (default: %(default)s)", "Zprl")


def run(options: ListTasksOptions) -> None:
    """Print the table."""
    from zprl.sim.isaaclab import list_tasks

    print(list_tasks(options.keyword))


COMMAND = Command(__doc__, ListTasksOptions, run, takes_overrides=False)
