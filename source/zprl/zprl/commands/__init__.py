# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What users run: one file per command, with its options and its body.

A new command is a file here, its name in :data:`zprl.commands.cli.NAMES`, and a script that runs it. The files import
what a command needs when it runs, so that ``--help`` loads neither PyTorch nor a simulator.
"""
