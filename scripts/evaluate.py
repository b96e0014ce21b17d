# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluate a checkpoint or an exported bundle: it and its base policy on the same initial states, deterministic."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("evaluate")
