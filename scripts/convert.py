# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Convert checkpoints and base policies of older versions."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("convert")
