# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure the native policy step: its error, its time beside other runtimes, its stages and the machine's limits."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("profile_kernels")
