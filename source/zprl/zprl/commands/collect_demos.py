# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record demonstrations of a task's scripted expert into an HDF5 file.

Example: python scripts/collect_demos.py --task Zprl-Lift-Franka --num_demos 100 --dataset_file demos.hdf5
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option, positive_int, seed_or_random


@dataclass(frozen=True, kw_only=True)
class CollectDemosOptions(TaskOptions):
    """Options of the command."""

    seed: int = option("seed of the run; -1 draws one", 0, type=seed_or_random)
    num_demos: int = option("episodes (default: %(default)s)", 100, type=positive_int)
    quality: str = option(
        "mixed errs in grasp place, actions and speed; expert does not (default: %(default)s)",
        "mixed",
        choices=("mixed", "expert"),
    )
    dataset_file: Path | None = option("file to write (default: below datasets/)", None, writes="file", metavar="F")


def run(options: CollectDemosOptions, overrides: list[str]) -> Path:
    """Record; return the data set."""
    from zprl.runs.base_policy import collect, dataset_path
    from zprl.runs.session import TaskSession
    from zprl.utils.outputs import check_files

    session = TaskSession(options.task, options.device, overrides, seed=options.seed)
    cfg = session.agent_cfg.demonstrations
    cfg.num_demos, cfg.quality, cfg.seed = options.num_demos, options.quality, options.seed
    path = options.dataset_file or dataset_path(session)
    check_files({"--dataset_file": path})
    with session.launched(options.viz):
        collect(session, path)
    return path


COMMAND = Command(__doc__, CollectDemosOptions, run)
