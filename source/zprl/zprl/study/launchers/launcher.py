# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a launcher is given, and what it does."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zprl.utils.errors import NotInstalledError, ZprlError


@dataclass(frozen=True)
class Job:
    """A process to run."""

    name: str
    """Name for the user."""
    prepare: Callable[[], Sequence[str]]
    """Called right before the process starts, where it starts; returns its command line. Launchers may pickle it."""
    log: Path
    """File that the process's output is appended to."""
    units: int = 1
    """Number of units that the job consists of."""
    done: Callable[[], int] = lambda: 0
    """Returns the number of units that are done."""
    finish: Callable[[], None] = lambda: None
    """Called after the process ended well."""


class Launcher[Handle](Protocol):
    """Starts processes of jobs somewhere and looks after them.

    If the study is killed, its processes end as well, or are found again when their jobs are started the next time.
    """

    num_parallel: int | None
    """Jobs at once; None for as many as there are, where something else lets them wait."""
    threads: int
    """Cores that a job's process may use."""

    def start(self, job: Job, locks: Sequence[int]) -> Handle:
        """Start a job's process.

        Args:
            job: The job.
            locks: File descriptors of locks that a process on this machine inherits, so that they last as long as it.

        Raises:
            ZprlError: If it cannot be started.
        """
        ...

    def poll(self, handle: Handle) -> int | None:
        """Return the exit status of a job's process, that of a signal negative, or None if it has not ended."""
        ...

    def stop(self, handles: Sequence[Handle]) -> None:
        """End the processes of jobs, gently at first, and wait until they have ended."""
        ...


def import_extra(package: str, launcher: str) -> Any:
    """Import the package that a launcher needs beside this project's own, and return it.

    Args:
        package: Its name.
        launcher: Name of the launcher, and of the extra in pyproject.toml that brings it.

    Raises:
        NotInstalledError: If it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise NotInstalledError(
            f"--launcher {launcher} needs the package {package}; install it with `pip install 'zprl[{launcher}]'`."
        ) from error


def parse_options(texts: Sequence[str]) -> dict[str, bool | int | float | str]:
    """Return the settings of a launcher that "key=value" texts give, as numbers and truth values where they look so.

    Raises:
        ZprlError: If a text has another form, or a key comes twice.
    """
    values: dict[str, bool | int | float | str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not key or not separator or not value:
            raise ZprlError(f"--launcher_options has '{text}'; write key=value,key=value.")
        if key in values:
            raise ZprlError(f"--launcher_options gives {key} twice; give it once.")
        values[key] = _value(value)
    return values


def _value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            pass
    return text


def check_options(launcher: str, options: Mapping[str, Any], known: Mapping[str, type | tuple[type, ...]]) -> None:
    """Refuse settings that a launcher does not have, or values of another type.

    Args:
        launcher: Its name.
        options: The settings.
        known: Types of the settings that it has, by name.

    Raises:
        ZprlError: If there is one.
    """
    for name, value in options.items():
        if name not in known:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise ZprlError(f"--launcher {launcher} has no option '{name}'; {has}.")
        if not isinstance(value, known[name]):
            raise ZprlError(f"--launcher_options {name}={value} is of the wrong type for --launcher {launcher}.")
