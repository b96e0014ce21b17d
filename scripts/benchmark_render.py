# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure how fast a task's camera images are drawn, by the ray caster and by Newton."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("benchmark_render")
