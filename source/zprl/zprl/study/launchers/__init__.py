# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the processes of a study run: on this machine, by Slurm or by Ray.

``launcher`` says what a job is and what a launcher does with it, ``process`` runs a job's process on the machine that
it was given to, and every other module is a launcher.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zprl.study.launchers.launcher import Launcher, parse_options

LAUNCHERS = ("local", "slurm", "ray")
"""Names of the launchers."""


def make_launcher(name: str, options: Sequence[str], num_parallel: int | None, folder: Path) -> Launcher[Any]:
    """Return a launcher.

    Args:
        name: One of :data:`LAUNCHERS`.
        options: Its settings, "key=value" each.
        num_parallel: Jobs at once, or None for what suits the launcher.
        folder: Folder of all studies, which machines share.

    Raises:
        ZprlError: If a setting is malformed or unknown, or what the launcher needs is not there.
    """
    settings = parse_options(options)
    if name == "slurm":
        from zprl.study.launchers.slurm import SlurmLauncher

        return SlurmLauncher(num_parallel, settings, folder / ".slurm")
    if name == "ray":
        from zprl.study.launchers.ray import RayLauncher

        return RayLauncher(num_parallel, settings)
    from zprl.study.launchers.local import LocalLauncher

    return LocalLauncher(num_parallel, settings)
