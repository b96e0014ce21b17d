# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The Makefile as a test calls it."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_make(*argv, cwd=ROOT, **environment):
    """Run make as from a terminal: what a make that runs the tests was called with is not handed on."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for name in ("ARGS", "TASK", "VENV"):
        inherited.pop(name, None)
    return subprocess.run(
        ["make", *argv], cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, timeout=60
    )
