# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Print a table of finished runs and draw their learning curves in one figure.

Example: python scripts/summarize.py logs/rsl_rl/EXPERIMENT/2026-* --figure learning_curves.png
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command


@dataclass(frozen=True, kw_only=True)
class SummarizeOptions:
    """Options of the command."""

    runs: tuple[Path, ...]
    """Folders of finished runs of one task."""
    figure: Path | None = None
    """PNG to write, or None."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`SummarizeOptions`."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="figure to write")


def run(options: SummarizeOptions) -> None:
    """Draw and print."""
    from zprl.evaluation.summary import summarize

    print(summarize(options.runs, options.figure))


COMMAND = Command(__doc__, SummarizeOptions, add_arguments, run, takes_overrides=False)
