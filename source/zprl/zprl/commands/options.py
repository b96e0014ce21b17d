# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What commands have in common: how a command line becomes their options, and the options of those that run a task."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zprl.utils.arguments import add_options, option, seed_or_random, written
from zprl.utils.outputs import check_files, check_folder, claimed


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Options of every command that runs a task, in Isaac Lab's style."""

    task: str = option("task id, such as Zprl-Lift-Franka")
    device: str = option("cpu or cuda[:N] (default: %(default)s)", "cpu")
    seed: int | None = option("seed of the run; -1 draws one", None, type=seed_or_random)
    headless: bool = option("accepted for Isaac Lab's sake: no window is the default", False)
    viz: str | None = option("Isaac Lab visualizer to open", None, aliases=["--visualizer"], metavar="NAME")


@dataclass(frozen=True)
class Command[Options]:
    """A command; every module of a command has one, ``COMMAND``.

    Attributes:
        description: Text of ``--help``; the beginning of its first line stands in the list of all commands.
        options: Dataclass whose fields are its options; see :func:`zprl.utils.arguments.option`.
        run: The body. It takes the options and, unless it takes no overrides, a list of Hydra overrides.
        takes_overrides: Whether what is left over of the command line are Hydra overrides.
        after_interrupt: See :func:`zprl.utils.errors.run_cli`.
        in_several_processes: Whether torchrun may start it several times.
    """

    description: str | None
    options: type[Options]
    run: Callable[..., object]
    takes_overrides: bool = True
    after_interrupt: str = "run the same command again"
    in_several_processes: bool = False

    @property
    def summary(self) -> str:
        """First line of the description, up to what it explains after a colon or a semicolon."""
        return re.split(r"[:;]|\.?\n", (self.description or "").strip(), maxsplit=1)[0]

    def parse(self, argv: Sequence[str] | None = None, program: str | None = None) -> tuple[Options, list[str]]:
        """Parse a command line.

        Args:
            argv: The arguments, or None for this process's.
            program: What its messages call the program, or None for the name of the script.

        Returns:
            The options and the overrides (``env.x=1``, ``agent.y=2``, ``physics=NAME``).
        """
        parser = argparse.ArgumentParser(
            prog=program, description=self.description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        add_options(parser, self.options)
        if self.takes_overrides:
            args, overrides = parser.parse_known_args(argv)
        else:
            args, overrides = parser.parse_args(argv), []
        for text in overrides:
            if text.startswith("-") or "=" not in text:
                parser.error(f"unrecognized argument: {text} (options start with --, overrides read name=value)")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(args).items()}
        return self.options(**values), overrides

    def __call__(self, argv: Sequence[str] | None = None, program: str | None = None) -> None:
        """Parse a command line and run the command; see :meth:`parse`.

        Raises:
            ZprlError: If what the options name cannot be written, or is one of the files that the command reads.
        """
        options, overrides = self.parse(argv, program)
        arguments = (options, overrides) if self.takes_overrides else (options,)
        check_files(written(options, "file"))
        for name, path in written(options, "folder", "whole folder").items():
            check_folder(name, path)
        with claimed(written(options, "file", "whole folder", "file or folder")):
            self.run(*arguments)
