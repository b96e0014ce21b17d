# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a command is going to write, settled before it begins: names, files and folders that can be written.

A result that cannot be written after hours of work is lost, so every command asks here first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from zprl.utils.errors import ZprlError

LOCK = ".lock"
"""Name of the file in a folder that :func:`exclusive` locks."""

_LONGEST_NAME = 100
"""Bytes of a name: file systems take 255, and dates and endings are added to it."""


def check_name(option: str, name: str) -> str:
    """Return what a folder is to be called if it is a name by itself, and no path that leads elsewhere.

    Args:
        option: What gives the name, such as "--name".
        name: The name.

    Raises:
        ZprlError: If it is empty, "." or "..", too long, or holds a slash or what cannot be printed.
    """
    if name in ("", ".", "..") or "/" in name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise ZprlError(
            f"{option} is {name!r}, which cannot name a folder; give a name without slashes, of at most "
            f"{_LONGEST_NAME} bytes."
        )
    return name


def check_files(files: Mapping[str, Path | None]) -> None:
    """Check that files can be written; nothing is left behind. Missing folders are made when they are written.

    Args:
        files: Path by what names it, such as "--json"; None for those that are not wanted.

    Raises:
        ZprlError: If one cannot be written, or two are the same.
    """
    owners: dict[str, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        other = owners.setdefault(os.path.realpath(path), option)
        if other != option:
            raise ZprlError(f"{path} is named for two files, {other} and {option}; give each its own.")
        try:
            mode = _mode(path)
            if mode is not None and stat.S_ISDIR(mode):
                raise ZprlError(f"{option} {path} is a folder; name a file.")
            if mode is not None and not os.access(path, os.W_OK):
                raise ZprlError(f"{option} {path} cannot be written: the file is write-protected; name another file.")
            if mode is None or stat.S_ISREG(mode):
                if os.path.ismount(path):
                    raise ZprlError(f"{option} {path} is mounted by itself and cannot be replaced; mount its folder.")
                _probe(Path(os.path.realpath(path)).parent)
        except OSError as error:
            raise ZprlError(f"{option} {path} cannot be written: {_reason(error)}; name another file.") from error


def check_folder(option: str, path: Path) -> None:
    """Check that files can be written to a folder, which is made if it does not exist; nothing is left behind.

    Args:
        option: What names the folder, such as "--run_dir".
        path: The folder.

    Raises:
        ZprlError: If it is a file or cannot be written to.
    """
    if path.exists() and not path.is_dir():
        raise ZprlError(f"{option} {path} is a file; name a folder.")
    try:
        _probe(Path(os.path.realpath(path)))
    except OSError as error:
        raise ZprlError(f"{option} {path} cannot be written: {_reason(error)}; name another folder.") from error


_claims: ContextVar[Mapping[tuple[int, int], str] | None] = ContextVar("claims", default=None)
"""What names each of the files and folders that a command is going to replace, by device and inode."""


@contextlib.contextmanager
def claimed(outputs: Mapping[str, Path]) -> Iterator[None]:
    """Let :func:`check_unclaimed` refuse what is there now at some paths, as long as the block lasts.

    A link is what it leads to, and a file is the same under all its names.

    Args:
        outputs: Files that are going to be replaced, or folders with all that is in them, by what names them.
    """
    claims = {}
    for option, path in outputs.items():
        with contextlib.suppress(OSError):
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                claims[status.st_dev, status.st_ino] = f"{option} {path}"
    token = _claims.set(claims)
    try:
        yield
    finally:
        _claims.reset(token)


def check_unclaimed(path: Path, what: str) -> None:
    """Check that a file which is about to be read is not one that the command is going to replace.

    Args:
        path: The file, which exists.
        what: What it is, for the error message.

    Raises:
        ZprlError: If it is.
    """
    claims = _claims.get()
    if not claims:
        return
    real = Path(os.path.realpath(path))
    for place in (real, *real.parents):
        status = os.stat(place)
        option = claims.get((status.st_dev, status.st_ino))
        if option is not None:
            raise ZprlError(f"{option} would replace the {what} {path}, which is read; name another place to write to.")


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _probe(folder: Path) -> None:
    """Make a file in a folder, or in the one that it would be made in, and let it vanish again."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    tempfile.TemporaryFile(dir=folder).close()


def _reason(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    return reason if error.filename is None else f"{reason} ({Path(os.fsdecode(error.filename)).parent})"


@contextlib.contextmanager
def exclusive(folder: Path, what: str, remedy: str, patience: float = 0.0) -> Iterator[int]:
    """Hold a folder's lock, so that nothing below it is written by two commands at once.

    The lock is the kernel's: a process that is killed gives it back. Processes that inherit the file descriptor hold
    it too: as long as one of them lives, nobody else gets it. Whoever holds it may remove its file.

    Args:
        folder: The folder; it is made if it does not exist.
        what: Who may hold it, for the error message, such as "another study".
        remedy: What to do then.
        patience: How long to wait for processes that were killed just now [s].

    Yields:
        The lock's file descriptor.

    Raises:
        OSError: If the folder cannot be written or locked.
        ZprlError: If somebody else holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    descriptor = _locked(folder / LOCK)
    while descriptor is None:
        if time.monotonic() > deadline:
            raise ZprlError(f"{what} is writing to {folder}; {remedy}.")
        time.sleep(0.1)
        descriptor = _locked(folder / LOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """Return the descriptor of a file that is locked now, or None if somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed the file meanwhile, and the next one would lock another of its name.
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
