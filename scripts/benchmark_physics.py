# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure a task's speed on several physics engines in turn; ratios are to the last one named."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("benchmark_physics")
