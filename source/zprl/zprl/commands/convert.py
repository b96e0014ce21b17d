# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Convert checkpoints and base policies of older versions: their files (``*.pt``) become files of this version.

Old files are read as tensors and plain values only: one that asks for anything else, such as code, is refused.

Example: python scripts/convert.py logs/rsl_rl/EXPERIMENT/RUN/model_100.pt
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command
from zprl.utils.arguments import option


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of the command."""

    files: tuple[Path, ...] = option("model_N.pt or base_policy.pt to convert", nargs="+", metavar="PATH")
    output: Path | None = option(
        "folder to write to (default: that of each old file)", None, writes="folder", metavar="DIR"
    )


def run(options: ConvertOptions) -> None:
    """Convert one file after the other."""
    from zprl.runs.old_files import convert

    for path in options.files:
        convert(path, options.output)


COMMAND = Command(__doc__, ConvertOptions, run, takes_overrides=False)
