# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train the base policy on demonstrations, and check what its bottleneck costs."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("pretrain")
