# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""JSON (RFC 8259) in which nothing is left to the reader, so that every program reads a file as the same values.

``csrc/runtime/json.h`` reads contracts in C++ by the same rules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

MAX_DEPTH = 64
"""Deepest nesting of objects and arrays; none of this project's files comes near it."""

MAX_NAME = 1000
"""Longest name of an object's member [characters]; names stand in error messages."""

_MAX_DIGITS = 308  # of a whole number: a double holds no more


def parse_json(text: str | bytes) -> Any:
    """Decode a document.

    Raises:
        ValueError: If it is not JSON, an object holds a name twice or a longer one than :data:`MAX_NAME`, a number is
            NaN, infinite or larger than a double holds, or it is nested deeper than :data:`MAX_DEPTH`.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _members(outer)]
    if level:
        raise ValueError("it is nested too deeply")
    return value


def _members(value: Any) -> Iterable[Any]:
    """Return what stands in an object or an array."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in members:
        if len(name) > MAX_NAME:
            raise ValueError(f"it holds a name of {len(name)} characters")
        if name in values:
            raise ValueError(f"the name {name[:60]!r} comes twice")
        values[name] = value
    return values


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number is too large")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
