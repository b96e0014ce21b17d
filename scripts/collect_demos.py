# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record demonstrations of a task's scripted expert into an HDF5 file."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("collect_demos")
