# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Folders that are replaced as a whole: at any moment the old one or the new one is there, under its name or beside it.

Two renames replace a folder. A kill between them leaves the old one beside its name, ``.<name>.*.old``, from where
:func:`recover_folder` takes it back.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from zprl.utils.errors import ZprlError
from zprl.utils.outputs import check_folder

_LEFT_OVER_SECONDS = 60.0
"""Age from which an unlocked temporary folder is one that a kill left behind: its writer locks it at once."""


def replace_folder(place: Path, path: Path) -> None:
    """Give a complete folder its name. A folder of that name steps aside first and is removed last.

    Args:
        place: The folder, beside its name.
        path: Its name; no link.

    Raises:
        OSError: If it cannot be renamed; both folders are then where they were.
    """
    if not is_filled(path):
        os.replace(place, path)
        return
    with _opened(path) as descriptor:
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
        os.replace(path, aside)
        try:
            os.replace(place, path)
        except BaseException:
            os.replace(aside, path)
            raise
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a folder that takes its name only once it is complete and on disk.

    A reader, a crash, a full disk or a kill at any moment thus sees the old folder or the new one. Only a kill or a
    power cut can leave the temporary folder, named ``.<name>.*.tmp``, behind, until ``path`` is written again.

    Args:
        path: Folder to make or to replace. Missing parents are made; a link stays, and what it leads to is replaced.

    Yields:
        The temporary folder.

    Raises:
        OSError: If it cannot be made or renamed; no temporary folder stays behind.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(target)
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError), _opened(left) as descriptor:
            if time.time() - left.stat().st_mtime >= _LEFT_OVER_SECONDS:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        with _opened(place) as descriptor:
            with contextlib.suppress(OSError):  # not every file system has locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            place.chmod(0o755)
            yield place
        replace_folder(place, target)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def recover_folder(path: Path) -> None:
    """Finish what a kill in :func:`replace_folder` left: take the old folder back, or remove it if there is a new one.

    What another process is replacing right now it has locked, and it is left alone.

    Args:
        path: The folder's name; no link.
    """
    left = sorted(path.parent.glob(f".{glob.escape(path.name)}.*.old"), key=lambda folder: folder.stat().st_mtime_ns)
    for aside in reversed(left):
        with contextlib.suppress(OSError), _opened(aside) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_filled(aside) and not is_filled(path):
                os.replace(aside, path)
            else:
                shutil.rmtree(aside, ignore_errors=True)


def is_filled(path: Path) -> bool:
    """Return whether there is a folder with something in it."""
    return path.is_dir() and any(path.iterdir())


def check_replaceable(option: str, path: Path, force: bool, is_known: Callable[[Path], bool], what: str) -> None:
    """Check that a folder can be written as a whole: it is new or empty or, with ``force``, of the kind to write.

    What a kill left of an earlier replacement is put right first.

    Args:
        option: What names the folder, such as "--output".
        path: The folder.
        force: Whether one that holds something is to be replaced.
        is_known: Returns whether a folder is of the kind.
        what: The kind, such as "bundle".

    Raises:
        ZprlError: If it cannot.
    """
    check_folder(option, path)
    check_folder(f"the folder of {option}", path.resolve().parent)  # where the new one is made, beside its name
    recover_folder(path.resolve())
    if is_filled(path) and not force:
        raise ZprlError(f"{option} {path} is not empty; name another folder or pass --force to replace it.")
    if is_filled(path) and not is_known(path):
        raise ZprlError(f"{option} {path} holds no {what}, and --force only replaces one; name another folder.")
    if os.path.ismount(path):
        raise ZprlError(f"{option} {path} is a mount point, which cannot be replaced; name a folder below it.")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a folder for its lock, which it keeps whatever its name becomes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
