# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Show where the time of reinforcement learning goes, part by part."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("profile_training")
