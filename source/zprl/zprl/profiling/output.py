# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The files that a profile can leave behind: JSON, trace and plot."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from zprl.profiling.profiler import ProfileReport
from zprl.profiling.report import report_to_dict
from zprl.profiling.roofline import plot_roofline
from zprl.profiling.stages import trace_events
from zprl.utils.errors import ZprlError, describe_full_disk
from zprl.utils.files import atomic_json_dump


def check_writable(files: Mapping[str, Path | None]) -> None:
    """Make sure before the measurement that its files can be written after it.

    Args:
        files: Path by kind of file; None for those that are not wanted.

    Raises:
        ZprlError: If one cannot be written, or two are the same.
    """
    wanted = [path for path in files.values() if path is not None]
    for path in wanted:
        if path.is_dir():
            raise ZprlError(f"cannot write {path}: it is a folder; give a file.")
        if wanted.count(path) > 1:
            raise ZprlError(f"{path} is named for two files; give each its own.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()
        except OSError as error:
            raise _cannot_write(path, error) from error


def write_outputs(report: ProfileReport, files: Mapping[str, Path | None]) -> None:
    """Write the files that are wanted; each is complete or absent.

    Args:
        report: Profile.
        files: Path of the "json", the "trace" and the "plot"; None for those that are not wanted.

    Raises:
        ZprlError: If a file cannot be written.
        OSError: If the disk is full.
    """
    writers = {
        "json": lambda path: atomic_json_dump(report_to_dict(report), path),
        "trace": lambda path: atomic_json_dump(_trace(report), path),
        "plot": lambda path: plot_roofline(path, report),
    }
    for kind, path in files.items():
        if path is None:
            continue
        try:
            writers[kind](path)
        except OSError as error:
            if describe_full_disk(error) is not None:
                raise
            raise _cannot_write(path, error) from error


def _trace(report: ProfileReport) -> dict[str, object]:
    splits = {f"{split.shape} {split.dtype} batch {split.batch}": split for split in report.stages}
    events = trace_events([(cell.name, cell.samples) for cell in report.cells], splits)
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"cpu": report.machine["cpu"]}}


def _cannot_write(path: Path, error: OSError) -> ZprlError:
    return ZprlError(f"cannot write {path}: {error.strerror}; give another file.")
