# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs a command as ``python -m zprl NAME``."""

from zprl.commands.cli import main

if __name__ == "__main__":
    main()
