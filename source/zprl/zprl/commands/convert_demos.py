# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Convert demonstrations between HDF5 and LeRobot's form: what Isaac Lab and robomimic have, and LeRobotDataset v3.

A data set that does not say itself what was observed and done, as those of others do not, is read by the names of a
task: agent.dataset_names says which they are there. docs/data.md says what each form holds, and what is lost.

Example: python scripts/convert_demos.py demos.hdf5 demos_lerobot
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zprl.commands.options import Command
from zprl.utils.arguments import comma_separated, option
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.data import Demonstrations


@dataclass(frozen=True, kw_only=True)
class ConvertDemosOptions:
    """Options of the command."""

    from_path: Path = option("data set to read: an HDF5 file or a folder of LeRobot", nargs=None, metavar="A")
    to_path: Path = option(
        "what to write: a file if it ends in .hdf5, else a folder", nargs=None, metavar="B", writes="file or folder"
    )
    task: str | None = option("task that a data set of others is for", None, metavar="TASK")
    device: str = option("where that task is started: cpu or cuda[:N] (default: %(default)s)", "cpu")
    filter_key: str | None = option("subset to convert, of robomimic's (default: all)", None, metavar="NAME")
    images: str = option(
        "how LeRobot's are written; mp4 alone loses something (default: %(default)s)",
        "png",
        choices=("png", "mp4", "mp4-lossless"),
    )
    environment_state: tuple[str, ...] = option(
        "states of the task that LeRobot is to have as observation.environment_state, which its state-only policies "
        "want",
        (),
        type=comma_separated(str),
        metavar="TERM,TERM",
    )
    force: bool = option("replace a folder that holds a data set of LeRobot", False)


def run(options: ConvertDemosOptions, overrides: list[str]) -> Path:
    """Convert; return what was written.

    Raises:
        ZprlError: If the data set cannot be read, does not fit the task, or does not fit the other form.
    """
    from zprl.data import existing_dataset, write_demonstrations
    from zprl.data.lerobot.layout import import_extra

    to_folder, source = _check_target(options.to_path, options.force), existing_dataset(options.from_path)
    if options.environment_state and not to_folder:
        raise ZprlError(f"--environment_state is of LeRobot's form, and {options.to_path} is to be HDF5; drop it.")
    for package in ("pyarrow.parquet",) * (to_folder or source.is_dir()) + ("av",) * (options.images != "png"):
        import_extra(package)
    demos = _read(options, source, overrides)
    write_demonstrations(options.to_path, demos, options.images, options.environment_state)
    seeing = any(group.is_image for group in demos.spec.groups)
    images = f", images as {options.images}" if to_folder and seeing else ""
    print(
        f"demonstrations: {demos.num_demos} of task {demos.task}, {demos.num_successes} succeed, {demos.num_steps:,} "
        f"steps, written to {options.to_path}{images}"
    )
    return options.to_path


def _read(options: ConvertDemosOptions, source: Path, overrides: list[str]) -> Demonstrations:
    from zprl.data import DatasetNamesCfg, load_demonstrations, says_its_spec
    from zprl.runs.foreign_data import load_for_task
    from zprl.runs.session import TaskSession
    from zprl.spec import require_task

    if says_its_spec(source):
        if overrides:
            raise ZprlError(
                f"the data set {source} says its own names, so no setting of a task counts; drop {overrides[0]}."
            )
        demos = load_demonstrations(source, names=DatasetNamesCfg(filter_key=options.filter_key or ""))
        if options.task is not None:
            require_task(options.task, demos.task, f"the data set {source}")
        return demos
    if options.task is None:
        raise ZprlError(
            f"the data set {source} does not say what was observed and done; pass --task with the task that it is for."
        )
    session = TaskSession(options.task, options.device, overrides)
    if options.filter_key is not None:
        session.agent_cfg.dataset_names.filter_key = options.filter_key
    with session.launched():
        return load_for_task(session, source)


def _check_target(path: Path, force: bool) -> bool:
    """Check that the output can be written, and return whether it is a folder."""
    from zprl.data.formats import HDF5_ENDINGS
    from zprl.data.lerobot import is_lerobot
    from zprl.utils.folders import check_replaceable
    from zprl.utils.outputs import check_files

    if path.suffix in HDF5_ENDINGS:
        check_files({"B": path})
        return False
    if path.exists() and not path.is_dir():
        raise ZprlError(f"B {path} is a file, and its name does not end in .hdf5; name a folder for LeRobot.")
    check_replaceable("B", path, force, is_lerobot, "data set of LeRobot")
    return True


COMMAND = Command(__doc__, ConvertDemosOptions, run)
