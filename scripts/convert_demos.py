# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Convert demonstrations between HDF5 and LeRobot."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("convert_demos")
