# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Demonstrations from and to whatever form a path is of: a folder is a data set of LeRobot, a file is HDF5."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zprl.data.demonstrations import Demonstrations
from zprl.data.hdf5 import read_own, save_demonstrations
from zprl.data.hdf5_file import Hdf5File
from zprl.data.lerobot import is_lerobot, read_lerobot, save_lerobot
from zprl.data.lerobot.layout import OURS
from zprl.data.names import DatasetNamesCfg
from zprl.data.robomimic import read_robomimic
from zprl.spec import TaskSpec
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, existing_file

if TYPE_CHECKING:
    from _typeshed import StrPath

HDF5_ENDINGS = (".hdf5", ".h5")
"""How the name of a file of demonstrations ends, for what is going to be written."""


def existing_dataset(path: StrPath) -> Path:
    """Return a path if there is a data set, of whatever form.

    Raises:
        ZprlError: If there is none.
    """
    path = Path(path)
    if not path.is_dir():
        return existing_file(path, "demonstration file")
    if not is_lerobot(path):
        raise ZprlError(
            f"{path} is a folder without meta/info.json, and so no data set of LeRobot; give one that has it, or a "
            "demonstration file."
        )
    return path


def load_demonstrations(
    path: StrPath,
    spec: TaskSpec | None = None,
    names: DatasetNamesCfg | None = None,
    groups: Iterable[str] | None = None,
) -> Demonstrations:
    """Read a data set, in the order of its demonstrations' numbers, and check all of it.

    Args:
        path: HDF5 file (:mod:`zprl.data.hdf5`, :mod:`zprl.data.robomimic`) or folder of LeRobot
            (:mod:`zprl.data.lerobot`).
        spec: Spec of the task by whose names a data set of others is read; this project's own bring theirs.
        names: What the task's configuration says of those names.
        groups: Observation groups that a data set of others must have, or None for all of the spec's.

    Returns:
        The demonstrations.

    Raises:
        ZprlError: If the data set is missing or truncated, holds no demonstration, lacks a key, or holds arrays whose
            shapes do not fit together or whose numbers are not finite, or actions beyond the spec's limits; or if it is
            one of others and does not fit the task.
    """
    path = existing_dataset(path)
    if path.is_dir():
        demos = read_lerobot(path, spec, names, groups)
    else:
        with Hdf5File.opened(path) as file:
            if spec is None or "zprl" in file.data.attrs:
                demos = read_own(file)
            else:
                demos = read_robomimic(file, spec, names, groups)
    return _subset(demos, names.filter_key) if names is not None and names.filter_key else demos


def says_its_spec(path: Path) -> bool:
    """Return whether a data set says itself what was observed and done; one that cannot be read is taken to.

    Raises:
        ZprlError: If it cannot be opened.
    """
    if path.is_dir():
        return (path / OURS).exists()
    with Hdf5File.opened(path) as file:
        return "zprl" in file.data.attrs


def write_demonstrations(
    path: Path, demos: Demonstrations, encoding: str = "png", environment_state: Sequence[str] = ()
) -> None:
    """Write demonstrations in the form that a path's name stands for, complete or not at all.

    Args:
        path: File to write, whose name ends as one of HDF5 does, or folder to make or to replace.
        demos: The demonstrations.
        encoding: How LeRobot's images are written, see :data:`zprl.data.lerobot.ENCODINGS`.
        environment_state: See :func:`zprl.data.lerobot.save_lerobot`.

    Raises:
        ZprlError: If the form has no place for something.
        OSError: If it cannot be written.
    """
    if path.suffix not in HDF5_ENDINGS:
        save_lerobot(path, demos, encoding, environment_state)
        return
    # robomimic makes no environment without them: type 2 is one of Isaac Lab's or Gymnasium's.
    env_args = demos.env_args or {"env_name": demos.task, "type": 2, "env_kwargs": {}}
    save_demonstrations(path, demos.spec, demos.episodes, demos.quality, demos.seed, env_args, demos.masks)


def dataset_checksum(path: Path) -> str:
    """Return the SHA-256 of a data set's content as 64 hexadecimal digits, of a folder over names and contents."""
    if not path.is_dir():
        return checksum(path)
    total = hashlib.sha256()
    files = (file for part in ("meta", "data", "videos") for file in (path / part).rglob("*") if file.is_file())
    for file in sorted(files):
        total.update(f"{file.relative_to(path).as_posix()}\0{checksum(file)}\n".encode())
    return total.hexdigest()


def _subset(demos: Demonstrations, name: str) -> Demonstrations:
    if name not in demos.masks:
        known = ", ".join(sorted(demos.masks)) or "none"
        raise ZprlError(f"the data set {demos.path} has no filter key {name!r}; it has {known}.")
    if not demos.masks[name]:
        raise ZprlError(f"the filter key {name!r} of the data set {demos.path} holds no demonstration; choose another.")
    episodes = [demos.episodes[index] for index in demos.masks[name]]
    return dataclasses.replace(demos, episodes=episodes, masks={})
