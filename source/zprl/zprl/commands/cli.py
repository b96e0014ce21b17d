# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The commands by name: what ``zprl NAME``, ``python -m zprl NAME`` and ``python scripts/NAME.py`` run.

Ctrl-C is understood once :func:`zprl.utils.errors.run_cli` runs, so everything else is imported inside of it.
"""

from __future__ import annotations

import sys

from zprl.utils.errors import ZprlError, did_you_mean, run_cli

TYPE_CHECKING = False  # that of typing would be one import more
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from zprl.commands.options import Command

NAMES = (
    *("train", "evaluate", "play", "export", "sim2real", "study", "collect_demos", "pretrain", "summarize"),
    *("convert", "list_tasks", "benchmark_physics", "benchmark_render", "profile_kernels", "profile_learner"),
    *("profile_training", "trace_rollout", "calibrate_task", "train_expert", "document_task", "convert_demos"),
    *("export_lerobot", "import_base"),
)
"""Names of the commands, which are those of their modules in this package. On the console a dash may stand for "_"."""


def main() -> None:
    """Run the command that the command line names, or list all of them."""
    argv = sys.argv[1:]
    if not argv or argv[0] in ("-h", "--help"):
        run_cli(lambda: print(overview()))
        return
    run_command(argv[0], argv[1:], f"zprl {argv[0]}")


def run_command(name: str, argv: Sequence[str] | None = None, program: str | None = None) -> None:
    """Run a command, and end the process as :func:`zprl.utils.errors.run_cli` says if it fails.

    Args:
        name: The command's name.
        argv: Its arguments, or None for this process's.
        program: What its messages call the program, or None for the name of the script.
    """
    found: list[Command] = []
    run_cli(lambda: found.append(find_command(name)))
    command = found[0]

    def run() -> None:
        import contextlib

        from zprl.utils import processes
        from zprl.utils.home import provide_home

        provide_home()
        processes.let_idle_threads_sleep()
        with processes.only_first_process_prints() if command.in_several_processes else contextlib.nullcontext():
            command(argv, program)

    run_cli(run, after_interrupt=command.after_interrupt)


def find_command(name: str) -> Command[Any]:
    """Return a command by its name.

    Raises:
        ZprlError: If there is no such command.
    """
    import importlib

    module = name.replace("-", "_")
    if module not in NAMES:
        if name.startswith("-"):
            raise ZprlError(f"a command comes before options such as {name}; `zprl --help` lists the commands.")
        known = [_on_console(known) for known in NAMES]
        raise ZprlError(f"there is no command '{name}'{did_you_mean(name, known, '`zprl --help` lists all')}.")
    return importlib.import_module(f"zprl.commands.{module}").COMMAND


def overview() -> str:
    """Return what ``zprl --help`` prints."""
    width = max(map(len, NAMES))
    lines = [f"  {_on_console(name):{width}}  {find_command(name).summary}" for name in NAMES]
    usage = "usage: zprl COMMAND [OPTIONS] [NAME=VALUE ...]\n\n`zprl COMMAND --help` lists the options of a command."
    return "\n".join([usage, "", "commands:", *lines])


def _on_console(name: str) -> str:
    return name.replace("_", "-")
