# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Print a table of finished runs and draw their learning curves in one figure.

Example: python scripts/summarize.py logs/rsl_rl/EXPERIMENT/2026-* --figure learning_curves.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command
from zprl.utils.arguments import option


@dataclass(frozen=True, kw_only=True)
class SummarizeOptions:
    """Options of the command."""

    runs: tuple[Path, ...] = option("folder of a finished run", nargs="+", metavar="RUN")
    figure: Path | None = option("PNG file to write the learning curves to", None, writes="file", metavar="PNG")


def run(options: SummarizeOptions) -> None:
    """Draw and print."""
    from zprl.evaluation.report import summarize

    print(summarize(options.runs, options.figure))


COMMAND = Command(__doc__, SummarizeOptions, run, takes_overrides=False)
