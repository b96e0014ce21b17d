# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Options of a command as fields of a dataclass, and the arguments of a parser that they become."""

from __future__ import annotations

import argparse
import dataclasses
import secrets
import sys
import typing
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from zprl.utils import processes
from zprl.utils.constraints import NUM_SEEDS, PositiveInt, Seed, Share, describe, fits

Written = Literal["file", "folder", "whole folder", "file or folder"]
"""What an option names that its command writes; a whole folder is replaced with all that is in it. What may be a file
or a whole folder the command checks itself."""


def option(help: str, default: Any = dataclasses.MISSING, *, writes: Written | None = None, **settings: Any) -> Any:
    """Return a dataclass's field that is an option of a command, ``--NAME``.

    Args:
        help: Its line of ``--help``.
        default: Its default; without one it is required.
        writes: What it names, if that is going to be written; :func:`written` returns it.
        settings: What else ``argparse.ArgumentParser.add_argument`` takes; with ``nargs`` it is positional. Beside
            that, ``aliases`` are other names of it, and of the options of one ``group`` only one may be given.
    """
    return dataclasses.field(default=default, metadata={"help": help, "writes": writes, **settings})


def written(options: Any, *kinds: Written) -> dict[str, Path]:
    """Return the paths that a command's options name to be written, of some kinds, by the options' names on the line.

    Args:
        options: The options, a dataclass of :func:`option`.
        kinds: Which.
    """
    fields = [field for field in dataclasses.fields(options) if field.metadata["writes"] in kinds]
    names = [field.metadata["metavar"] if "nargs" in field.metadata else f"--{field.name}" for field in fields]
    paths = {name: getattr(options, field.name) for name, field in zip(names, fields, strict=True)}
    return {name: path for name, path in paths.items() if path is not None}


def add_options(parser: argparse.ArgumentParser, options: type) -> None:
    """Add an argument for every field of a dataclass, all of which :func:`option` made.

    A bool is a flag. The values of others are parsed by their ``type``, or else by X of an annotation ``X``,
    ``X | None`` or ``tuple[X, ...]``.
    """
    annotations = typing.get_type_hints(options)
    groups = defaultdict(parser.add_mutually_exclusive_group)
    for field in dataclasses.fields(options):
        settings, annotation = dict(field.metadata), annotations[field.name]
        names = [f"--{field.name}", *settings.pop("aliases", ())]
        group = settings.pop("group", None)
        settings.pop("writes")
        if annotation is bool:
            settings["action"] = "store_true"
        else:
            settings.setdefault("type", (typing.get_args(annotation) or (annotation,))[0])
        if field.default is not dataclasses.MISSING:
            settings["default"] = field.default
        elif "nargs" in settings:
            names = [field.name]
        else:
            settings["required"] = True
        (parser if group is None else groups[group]).add_argument(*names, **settings)


def positive_int(text: str) -> int:
    """Parse a positive whole number, for argparse."""
    return _within(PositiveInt, int(text))


def share(text: str) -> float:
    """Parse a number from 0 to 1, for argparse."""
    return _within(Share, float(text))


def seed_int(text: str) -> int:
    """Parse a seed that all random generators accept, for argparse."""
    return _within(Seed, int(text))


def seed_or_random(text: str) -> int:
    """Parse a seed, for argparse, or as in Isaac Lab -1 for a random one.

    That is drawn here and printed. From here on it is a seed like a given one, which files hold and which repeats what
    was done.
    """
    if int(text) != -1:
        return seed_int(text)
    if processes.count() > 1:
        raise argparse.ArgumentTypeError("-1 would draw another seed in each process; give one from 0 on")
    seed = secrets.randbelow(NUM_SEEDS)
    print(f"seed: {seed}, drawn at random", file=sys.stderr, flush=True)
    return seed


def _within[T: (int, float)](kind: Any, value: T) -> T:
    """Return a value of the type of a setting."""
    if not fits(kind, value):
        raise argparse.ArgumentTypeError(f"{value} is not {describe(kind)}")
    return value


def comma_separated[T](parse: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Return what parses a list such as "0,1,2", for argparse."""

    def values(text: str) -> tuple[T, ...]:
        return tuple(parse(part.strip()) for part in text.split(","))

    values.__name__ = f"list of {parse.__name__}"  # for argparse's message
    return values
