# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record a video of a policy, without a display or a GPU."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("play")
