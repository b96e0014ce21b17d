# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Trace some chunks of a training rollout and count where the host waits for the GPU."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("trace_rollout")
