# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the commands' options have in common, and how a command line becomes them."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zprl.utils.errors import ZprlError


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Options of every command that runs a task, in Isaac Lab's style."""

    task: str
    """Task id."""
    device: str = "cpu"
    """Device: "cpu" or "cuda[:N]"."""
    seed: int | None = None
    """Seed, or None for the configuration's."""
    headless: bool = False
    """Without effect: no window is the default."""
    viz: str | None = None
    """Isaac Lab visualizer to open, or None."""


def add_task_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :class:`TaskOptions`."""
    parser.add_argument("--task", required=True, help="task id, such as Zprl-Lift-Franka")
    parser.add_argument("--device", help="cpu or cuda[:N] (default: %(default)s)")
    parser.add_argument("--seed", type=seed_int, help="seed of the run")
    parser.add_argument(
        "--headless", action="store_true", help="accepted for Isaac Lab's sake: no window is the default"
    )
    parser.add_argument("--viz", "--visualizer", metavar="NAME", help="Isaac Lab visualizer to open")


@dataclass(frozen=True)
class Command[Options]:
    """A command; every module of a command has one, ``COMMAND``.

    Attributes:
        description: Text of ``--help``; the beginning of its first line stands in the list of all commands.
        options: Dataclass of its options. Its defaults are the parser's.
        add_arguments: Adds an argument for every field of the options.
        run: The body. It takes the options and, unless it takes no overrides, a list of Hydra overrides.
        takes_overrides: Whether what is left over of the command line are Hydra overrides.
        after_interrupt: See :func:`zprl.utils.errors.run_cli`.
        in_several_processes: Whether torchrun may start it several times.
    """

    description: str | None
    options: type[Options]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[..., object]
    takes_overrides: bool = True
    after_interrupt: str = "run the same command again"
    in_several_processes: bool = False

    @property
    def summary(self) -> str:
        """First line of the description, up to what it explains after a colon or a semicolon."""
        return re.split(r"[:;]|\.?\n", (self.description or "").strip(), maxsplit=1)[0]

    def parser(self, program: str | None = None) -> argparse.ArgumentParser:
        """Return the command's parser.

        Args:
            program: What its messages call the program, or None for the name of the script.
        """
        parser = argparse.ArgumentParser(
            prog=program, description=self.description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self.add_arguments(parser)
        parser.set_defaults(**_defaults(self.options))
        return parser

    def parse(self, argv: Sequence[str] | None = None, program: str | None = None) -> tuple[Options, list[str]]:
        """Parse a command line.

        Args:
            argv: The arguments, or None for this process's.
            program: See :meth:`parser`.

        Returns:
            The options and the overrides (``env.x=1``, ``agent.y=2``, ``physics=NAME``).
        """
        parser = self.parser(program)
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
        """Parse a command line and run the command; see :meth:`parse`."""
        options, overrides = self.parse(argv, program)
        arguments = (options, overrides) if self.takes_overrides else (options,)
        self.run(*arguments)


def _defaults(options: type) -> dict[str, Any]:
    """Return the defaults of the fields that have one."""
    defaults = {}
    for field in dataclasses.fields(options):
        if field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
    return defaults


def positive_int(text: str) -> int:
    """Parse a positive whole number, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def seed_int(text: str) -> int:
    """Parse a seed that all random generators accept, for argparse."""
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 2^31 - 1")
    return value


def comma_separated[T](parse: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Return what parses a list such as "0,1,2", for argparse."""

    def values(text: str) -> tuple[T, ...]:
        return tuple(parse(part.strip()) for part in text.split(","))

    values.__name__ = f"list of {parse.__name__}"  # for argparse's message
    return values


def check_writable(option: str, path: Path | None) -> None:
    """Check before a command begins that what an option names can become a file.

    Args:
        option: The option.
        path: What it names, or None if it was not given.

    Raises:
        ZprlError: If it is a folder, or lies in one that does not exist.
    """
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ZprlError(f"{option} {path} is not a file in an existing folder; name a file to write.")
