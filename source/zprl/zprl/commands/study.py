# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Compare methods, or the values of a setting, over several seeds and tasks: runs the grid and writes a report.

The runs share the budget, and those of a task its demonstrations, base policy and evaluation episodes. Run the same
command again to continue.

Examples:
  python scripts/study.py --task Zprl-Lift-Franka --methods zprl,action_residual --seeds 0,1,2 --budget 500000
  python scripts/study.py --suite one_arm --methods zprl,noise --launcher slurm --launcher_options slurm_partition=gpu
"""

from __future__ import annotations

import sys

from zprl.commands.options import Command
from zprl.study.options import StudyOptions


def run(options: StudyOptions, overrides: list[str]) -> None:
    """Run what is left of the study; exit with status 1 if a run failed."""
    from zprl.study.study import run_study

    if run_study(options, overrides):
        sys.exit(1)


COMMAND = Command(__doc__, StudyOptions, run)
