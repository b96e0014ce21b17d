# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Learn a task's expert by reinforcement learning with a dense reward."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("train_expert")
