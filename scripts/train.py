# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train a steered policy: demonstrations, base policy and reinforcement learning, whatever is missing."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("train")
