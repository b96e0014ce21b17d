# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Search how much a task's expert has to err for a base policy that succeeds as often as wanted."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("calibrate_task")
