# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record demonstrations of a task's scripted expert into an HDF5 file.

Example: python scripts/collect_demos.py --task Zprl-Lift-Franka --num_demos 100 --dataset_file demos.hdf5
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, TaskOptions, add_task_arguments, positive_int


@dataclass(frozen=True, kw_only=True)
class CollectDemosOptions(TaskOptions):
    """Options of the command."""

    seed: int = 0
    """Seed of the initial states and the expert's errors."""
    num_demos: int = 100
    """Number of episodes."""
    quality: str = "mixed"
    """"mixed" or "expert"."""
    dataset_file: Path | None = None
    """File to write, or None for the one of the settings."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`CollectDemosOptions`."""
    add_task_arguments(parser)
    parser.add_argument("--num_demos", type=positive_int, help="episodes (default: %(default)s)")
    parser.add_argument(
        "--quality",
        choices=("mixed", "expert"),
        help="mixed errs in grasp place, actions and speed; expert does not (default: %(default)s)",
    )
    parser.add_argument("--dataset_file", type=Path, metavar="F", help="file to write (default: below datasets/)")


def run(options: CollectDemosOptions, overrides: list[str]) -> Path:
    """Record; return the data set."""
    from zprl.runs.base_policy import collect, dataset_path
    from zprl.runs.session import TaskSession

    session = TaskSession(options.task, options.device, overrides, seed=options.seed)
    cfg = session.agent_cfg.demonstrations
    cfg.num_demos, cfg.quality, cfg.seed = options.num_demos, options.quality, options.seed
    path = options.dataset_file or dataset_path(session)
    with session.launched(options.viz):
        collect(session, path, options.num_demos, options.quality, options.seed)
    return path


COMMAND = Command(__doc__, CollectDemosOptions, add_arguments, run)
