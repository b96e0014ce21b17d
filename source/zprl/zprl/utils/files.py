# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Files that are either complete or absent: atomic writes, and loading with errors a user can act on."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from _typeshed import StrPath


@contextmanager
def atomic_write(path: StrPath) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only once it is complete and on disk.

    The content goes to a temporary file in the same folder, which replaces ``path`` at the end of the ``with`` block.
    A reader, a crash, a full disk or a kill at any moment thus sees the old content or the new, never a part of it.
    Only a kill or a power cut can leave the temporary file, named ``.<name>.*.tmp``, behind.

    Args:
        path: File to create or to replace. Missing folders are made.

    Yields:
        The temporary file, opened for binary writing and seekable.

    Raises:
        OSError: If the file cannot be written; ``filename`` is then ``path``, and no temporary file stays behind.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), _file_mode(path))
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        # A failed write names no file. An error of the caller's own about another file keeps that file's name.
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


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


def load_json(path: StrPath, what: str = "file") -> Any:
    """Load a JSON file.

    Args:
        path: File to load.
        what: What the file is, for the error message, such as "result".

    Returns:
        The decoded object.

    Raises:
        ZprlError: If the file is missing, a folder, unreadable or not JSON.
    """
    try:
        return json.loads(read_file(path, what))
    except (ValueError, RecursionError) as error:  # covers JSONDecodeError and UnicodeDecodeError
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
    """Return a path if it is that of a file.

    Args:
        path: The path.
        what: What the file is, for the error message.

    Raises:
        ZprlError: If it does not exist or is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ZprlError(f"the {what} {path} is a folder; give the file inside it.")
    if not path.exists():
        raise ZprlError(f"the {what} {path} does not exist; check the path.")
    return path


def read_file(path: StrPath, what: str) -> bytes:
    """Return the content of a file; the arguments and the errors are those of :func:`existing_file`.

    Raises:
        ZprlError: If it does not exist, is a folder, or cannot be read.
    """
    path = existing_file(path, what)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ZprlError(f"cannot read the {what} {path}: {error.strerror or error}.") from error


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
