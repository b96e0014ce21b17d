# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A home folder and a user's name where there are none, as in a container that runs under any user id."""

from __future__ import annotations

import getpass
import os
import stat
import tempfile
from pathlib import Path


def provide_home() -> None:
    """Set ``HOME`` and ``LOGNAME`` if the user has no folder to write to or no name.

    The libraries below keep compiled kernels, fonts and settings in the home folder, and ask for the user's name; they
    end in tracebacks without. The folder that takes its place is the user's own, below the one for temporary files, and
    is found again by the next command.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # no entry in the list of users, and no variable that says it
        os.environ["LOGNAME"] = f"user{os.getuid()}"
    home = Path(os.path.expanduser("~"))
    writable = (os.access(place, os.W_OK | os.X_OK) for place in (home, home / ".cache"))
    if not home.is_absolute() or not home.is_dir() or not any(writable):
        os.environ["HOME"] = str(_folder_of_user())


def _folder_of_user() -> Path:
    """Return a folder that nobody else can write to: what is cached there is run as code."""
    folder = Path(tempfile.gettempdir()) / f"zprl-home-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077:
            return folder
    except FileExistsError:
        pass
    return Path(tempfile.mkdtemp(prefix="zprl-home-"))
