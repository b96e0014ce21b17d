# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Write a task's page: what it is, its expert, and what its finished runs have reached."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("document_task")
