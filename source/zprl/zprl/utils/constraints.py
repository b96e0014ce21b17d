# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Types and ranges of settings: a field's annotation says them, and one check reads them.

::

    @configclass
    class SomeCfg:
        num_steps: PositiveInt = 100
        betas: tuple[Share, Share] = (0.9, 0.999)
        solver: Annotated[str, OneOf("euler", "heun")] = "euler"
"""

from __future__ import annotations

import functools
import itertools
import reprlib
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any

from zprl.utils.errors import ZprlError


class Constraint(ABC):
    """What a value of a type must satisfy beside it, as metadata of :data:`typing.Annotated`."""

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Return whether a value of the annotated type satisfies it."""

    @abstractmethod
    def describe(self, kind: str) -> str:
        """Return the text ``kind`` of a type, such as "an integer", with the constraint."""


@dataclass(frozen=True)
class Range(Constraint):
    """A number from ``low`` to ``high``, or above ``low`` and below ``high`` where those are excluded."""

    low: float = -sys.float_info.max
    high: float = sys.float_info.max
    low_excluded: bool = False
    high_excluded: bool = False

    def holds(self, value: Any) -> bool:
        """See :meth:`Constraint.holds`."""
        above = value > self.low if self.low_excluded else value >= self.low
        return above and (value < self.high if self.high_excluded else value <= self.high)

    def describe(self, kind: str) -> str:
        """See :meth:`Constraint.describe`."""
        parts = []
        if self.low > -sys.float_info.max:
            parts.append(f"{'above' if self.low_excluded else 'of at least'} {self.low}")
        if self.high < sys.float_info.max:
            parts.append(f"{'below' if self.high_excluded else 'of at most'} {self.high}")
        return f"{kind} {' and '.join(parts)}"


class OneOf(Constraint):
    """One of some names."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def holds(self, value: Any) -> bool:
        """See :meth:`Constraint.holds`."""
        return value in self.names

    def describe(self, kind: str) -> str:
        """See :meth:`Constraint.describe`."""
        return f"one of {', '.join(self.names)}"


class NotEmpty(Constraint):
    """A text or a list with something in it."""

    def holds(self, value: Any) -> bool:
        """See :meth:`Constraint.holds`."""
        return len(value) > 0

    def describe(self, kind: str) -> str:
        """See :meth:`Constraint.describe`."""
        return kind.replace("a ", "a non-empty ", 1)


class Increasing(Constraint):
    """Numbers of which each is larger than the one before."""

    def holds(self, value: Any) -> bool:
        """See :meth:`Constraint.holds`."""
        return all(low < high for low, high in itertools.pairwise(value))

    def describe(self, kind: str) -> str:
        """See :meth:`Constraint.describe`."""
        return f"{kind} in increasing order"


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(0, low_excluded=True)]
NonNegativeFloat = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
"""A number from 0 to 1."""
Decay = Annotated[float, Range(0, 1, high_excluded=True)]
"""A factor by which an average forgets."""
NUM_SEEDS = 2**31
Seed = Annotated[int, Range(0, NUM_SEEDS - 1)]
"""A seed that all random generators accept."""
Name = Annotated[str, NotEmpty()]
"""A text that is not empty."""


def fits(kind: Any, value: Any) -> bool:
    """Return whether a value is of a type, as an annotation says it. Lists and tuples stand for each other."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is Annotated:
        return fits(args[0], value) and all(c.holds(value) for c in args[1:])
    if origin in (typing.Union, types.UnionType):
        return any(fits(option, value) for option in args)
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            return False
        if origin is list or args[-1] is Ellipsis:
            return all(fits(args[0], item) for item in value)
        return len(value) == len(args) and all(map(fits, args, value))
    if origin is dict:
        return isinstance(value, Mapping) and all(fits(args[0], k) and fits(args[1], v) for k, v in value.items())
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and abs(value) < 2**63
    if kind is float:  # neither NaN nor infinity
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def describe(kind: Any) -> str:
    """Return what values of a type are, as the end of "must be"."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return functools.reduce(lambda text, constraint: constraint.describe(text), args[1:], describe(args[0]))
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if option is types.NoneType else describe(option) for option in args)
    if origin in (list, tuple):
        count = "" if origin is list or args[-1] is Ellipsis else f" of {len(args)}"
        return "a list" if args[0] is Any else f"a list{count}, each element {describe(args[0])}"
    names = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
    return names.get(kind, "set option by option")


def require(kind: Any, value: Any, path: str, example: Any = None, where: str = "") -> None:
    """Check a setting.

    Args:
        kind: Its type, as an annotation says it.
        value: Its value.
        path: Its name, such as "agent.policy.horizon".
        example: A value to show, which counts only if it fits.
        where: What sets it, as the beginning of the error message.

    Raises:
        ZprlError: If the value is of another type or out of range.
    """
    if fits(kind, value):
        return
    wanted = describe(kind)
    if isinstance(example, bool | int | float | list | tuple) and wanted[0] == "a" and fits(kind, example):
        wanted += f", such as {list(example) if isinstance(example, tuple) else example}"
    found = "null" if value is None else reprlib.repr(value)
    raise ZprlError(f"{where}{path} must be {wanted}, not {found}.")


@functools.cache
def kinds_of(cls: type) -> Mapping[str, Any]:
    """Return the annotations of a configuration's fields, resolved."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}  # type: ignore[arg-type]


def check_values(cfg: Any, path: str = "") -> None:
    """Check all values of a configuration and of those inside it; what is still MISSING is left out.

    Args:
        cfg: The configuration.
        path: Its name in error messages; that of its class if empty.

    Raises:
        ZprlError: If a value is of another type than its field's annotation says, or out of range.
    """
    path = path or type(cfg).__name__
    for name, kind in kinds_of(type(cfg)).items():
        value = getattr(cfg, name)
        if is_dataclass(value) and not isinstance(value, type):
            check_values(value, f"{path}.{name}")
        elif value is not MISSING:
            require(kind, value, f"{path}.{name}")
