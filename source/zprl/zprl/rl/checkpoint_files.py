# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The files of a run's checkpoints, found by their names without the libraries that read them."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"model_(\d+)\.safetensors")


def checkpoints(run_dir: Path) -> list[Path]:
    """Return a run's checkpoints, oldest first."""
    found = (path for path in run_dir.glob("model_*") if _NAME.fullmatch(path.name))
    return sorted(found, key=iteration_of)


def checkpoint_path(run_dir: Path, iteration: int) -> Path:
    """Return the file of a run's checkpoint after some iterations."""
    return run_dir / f"model_{iteration}.safetensors"


def iteration_of(checkpoint: Path) -> int:
    """Return the iterations that a run had done when it wrote a checkpoint, by the file's name."""
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])
