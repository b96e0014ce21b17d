# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Import a policy of LeRobot as a base policy."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("import_base")
