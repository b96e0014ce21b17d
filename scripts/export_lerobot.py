# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Write a bundle's policy as a checkpoint of LeRobot."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("export_lerobot")
