# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Compare methods, or the values of a setting, over several seeds: runs the grid and writes a report."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("study")
