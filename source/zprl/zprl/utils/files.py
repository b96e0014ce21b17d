# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Files that are either complete or absent: atomic writes, and loading with errors a user can act on."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import io
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zprl.utils.errors import ZprlError
from zprl.utils.outputs import check_unclaimed
from zprl.utils.strict_json import parse_json, require_form

if TYPE_CHECKING:
    from _typeshed import StrPath

MAX_JSON = 64 << 20
"""Largest JSON file that is read [bytes]; this project's own have kilobytes."""


@contextmanager
def atomic_write(path: StrPath) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only once it is complete and on disk.

    The content goes to a temporary file in the same folder, which replaces ``path`` at the end of the ``with`` block.
    A reader, a crash, a full disk or a kill at any moment thus sees the old content or the new, never a part of it.
    Only a kill or a power cut can leave the temporary file, named ``.<name>.*.tmp``, behind, until ``path`` is written
    again. A link stays, and the file that it leads to is written. What is no plain file, such as a pipe or
    ``/dev/stdout``, gets the whole content at the end.

    Args:
        path: File to create or to replace. Missing folders are made.

    Yields:
        The temporary file, opened for binary writing and seekable.

    Raises:
        OSError: If the file cannot be written; ``filename`` is then ``path``, and no temporary file stays behind.
    """
    with naming_errors(path):
        is_stream = _is_stream(path)
    if is_stream:
        buffer = io.BytesIO()
        yield buffer
        with naming_errors(path), _open_stream(path) as stream:
            stream.write(buffer.getbuffer())
        return
    target = Path(os.path.realpath(path))
    with naming_errors(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent, target.name)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with naming_errors(path, temporary, str(target)):
            with os.fdopen(descriptor, "wb") as file:
                with suppress(OSError):  # not every file system has locks; what has none is never taken for left over
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield file
                file.flush()
                os.fchmod(file.fileno(), _file_mode(target))
                os.fsync(file.fileno())
            os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


@contextmanager
def naming_errors(path: StrPath, *inside: StrPath) -> Iterator[None]:
    """Let an OSError name what the user knows.

    Args:
        path: What an error names that names no file, as a failed write does, or one of ``inside``.
        inside: Temporary files, and folders with all that is below them.

    Raises:
        OSError: As inside the block; an error about any other file keeps that file's name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        name = None if error.filename is None else Path(os.fsdecode(error.filename))
        if name is not None and inside and not any(name.is_relative_to(place) for place in inside):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _is_stream(path: StrPath) -> bool:
    """Return whether a file is no plain one, or the one that this process's stdout or stderr goes to."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        return True
    return _standard_descriptor(status) is not None


def _standard_descriptor(status: os.stat_result) -> int | None:
    for descriptor in (1, 2):
        with suppress(OSError):  # it is closed
            if os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


def _open_stream(path: StrPath) -> BinaryIO:
    # Replacing or truncating the file that stdout goes to would lose what was printed.
    descriptor = _standard_descriptor(os.stat(path))
    if descriptor is None:
        return open(path, "wb")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return os.fdopen(os.dup(descriptor), "wb")


_LEFT_OVER_SECONDS = 60.0
"""Age from which an unlocked temporary file is one that a kill left behind: its writer locks it at once."""


def remove_leftovers(folder: Path, name: str | None = None, age: float = _LEFT_OVER_SECONDS) -> None:
    """Remove temporary files of :func:`atomic_write` that killed processes have left in a folder.

    Args:
        folder: The folder.
        name: Of which file, or None for those of all files.
        age: How old they must be [s].
    """
    for path in folder.glob(f".{'*' if name is None else glob.escape(name)}.*.tmp"):
        if not path.is_file():  # opening a pipe waits for who writes to it
            continue
        with suppress(OSError), open(path, "rb") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime >= age:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def atomic_json_dump(obj: object, path: StrPath) -> None:
    """Write an object as indented JSON with a final newline.

    Args:
        obj: JSON-serializable object. NaN and infinity are rejected, as JSON has no such numbers: use None.
        path: File to create or to replace.

    Raises:
        OSError: If the file cannot be written; see :func:`atomic_write`.
        ValueError: If the object holds NaN or infinity.
    """
    text = json.dumps(obj, indent=2, allow_nan=False) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode())


def load_json(path: StrPath, what: str = "file", form: Any = None) -> Any:
    """Load a JSON file.

    Args:
        path: File to load.
        what: What the file is, for the error message, such as "result".
        form: What it must hold, for :func:`zprl.utils.strict_json.require_form`; anything if None.

    Returns:
        The decoded object.

    Raises:
        ZprlError: If the file is missing, no regular file, too large, unreadable, not JSON, or of another form.
    """
    value = decode_json(read_file(path, what, MAX_JSON), path, what)
    if form is not None:
        with reading(path, what):
            require_form(value, form)
    return value


@contextmanager
def reading(path: StrPath, what: str) -> Iterator[None]:
    """Say of which file something is wrong, while the block makes sense of what was read from it.

    Args:
        path: The file.
        what: What it is, for the error message.

    Raises:
        ZprlError: If the block raises a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise ZprlError(
            f"the {what} {Path(path)} is incomplete or none of this project ({error}); make it again, or point to "
            "another file."
        ) from error


def decode_json(content: bytes, path: StrPath, what: str = "file") -> Any:
    """Decode what was read from a JSON file; the arguments are those of :func:`load_json`.

    Raises:
        ZprlError: If it is not JSON.
    """
    try:
        return parse_json(content)
    except ValueError as error:  # covers JSONDecodeError and UnicodeDecodeError
        raise ZprlError(
            f"the {what} {Path(path)} is not valid JSON ({error}); remove it or point to another file."
        ) from error


def content_key(settings: dict[str, Any]) -> str:
    """Return a short key that changes exactly when the settings change, for naming cached results.

    Args:
        settings: JSON-serializable settings with string keys. The order of the keys does not matter; tuples equal
            lists.

    Returns:
        12 hexadecimal digits: the head of the SHA-256 of the settings' canonical JSON.

    Raises:
        TypeError: If a value has no JSON form: a default form could differ from run to run.
        ValueError: If the settings hold NaN or infinity.
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def checksum(path: StrPath) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def existing_file(path: StrPath, what: str) -> Path:
    """Return a path if it is that of a regular file.

    Args:
        path: The path.
        what: What the file is, for the error message.

    Raises:
        ZprlError: If it does not exist, is a folder, a pipe, a socket or a device, whose reading might never end, or
            is what the command is going to replace.
    """
    path = Path(path)
    if path.is_dir():
        raise ZprlError(f"the {what} {path} is a folder; give the file inside it.")
    if not path.exists():
        raise ZprlError(f"the {what} {path} does not exist; check the path.")
    if not path.is_file():
        raise ZprlError(f"the {what} {path} is a pipe, a socket or a device; give a regular file.")
    check_unclaimed(path, what)
    return path


def read_file(path: StrPath, what: str, limit: int | None = None) -> bytes:
    """Return the content of a file.

    Args:
        path: The path.
        what: What the file is, for the error message.
        limit: Largest size that it may have [bytes]; this machine's memory if None.

    Raises:
        ZprlError: If it does not exist, is no regular file, is too large, or cannot be read.
    """
    path = existing_file(path, what)
    try:
        size = path.stat().st_size
        if size > (physical_memory() if limit is None else limit):
            than = "this machine's memory" if limit is None else f"the {limit >> 20} MiB that one may have"
            raise ZprlError(f"the {what} {path} has {size} bytes, more than {than}; point to another file.")
        return path.read_bytes()
    except OSError as error:
        raise ZprlError(f"cannot read the {what} {path}: {error.strerror or error}.") from error


def physical_memory() -> int:
    """Return the size of this machine's memory [bytes]."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _file_mode(path: Path) -> int:
    """Return the permissions of the file that is replaced, or else those of a newly created file."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    # The new name survives a power cut only once the folder itself is on disk. Some network file systems refuse.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
