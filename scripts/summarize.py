# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Print a table of finished runs and draw their learning curves in one figure."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("summarize")
