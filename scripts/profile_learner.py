# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Time the learners' gradient steps, native against autograd."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("profile_learner")
