# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the code that runs comes from, and what started it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

COMMIT_FILE = "commit.txt"
"""File of the package with the commit it was built from. ``setup.py`` writes it into wheels and source archives; the
repository has none."""


def git_commit() -> str | None:
    """Return the commit of this project that the code is of, with "-dirty" if tracked files were changed.

    Where the package lies in its own repository that is the repository's, and else what was written down when the
    package was built: the commit of another project that it is installed in would say nothing of this code.

    Returns:
        None if neither is there, as in a copy of the sources.
    """
    folder = Path(__file__).resolve().parents[1]
    commit = _repository_commit(folder)
    with contextlib.suppress(OSError):
        commit = commit or (folder / COMMIT_FILE).read_text().strip()
    return commit or None


def _repository_commit(folder: Path) -> str | None:
    """Return the commit of the repository in which the package's folder has its own place, or None."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("rev-parse", "--show-prefix") != "source/zprl/zprl/":
        return None
    commit = git("rev-parse", "HEAD")
    return None if commit is None else commit + ("-dirty" if git("status", "--porcelain", "-uno") else "")


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed, by name."""
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def command_line() -> str:
    """Return the command line that started this process, as one types it in this project's folder."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        start = ["python", "-m", program.parent.name]
    elif program.suffix == ".py":
        start = ["python", f"scripts/{program.name}"]
    else:
        start = [program.name]
    return shlex.join([*start, *sys.argv[1:]])
