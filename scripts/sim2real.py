# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Run an exported bundle in the simulator under what a real robot would do to it: base against steered policy."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("sim2real")
