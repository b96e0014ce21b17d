# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""JSON (RFC 8259) in which nothing is left to the reader, so that every program reads a file as the same values.

``csrc/runtime/json.h`` reads contracts in C++ by the same rules.
"""

from __future__ import annotations

import json
import math
import types
import typing
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


NUMBER = int | float
"""Form of a number."""

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", types.NoneType: "null"}


def require_form(value: Any, form: Any, where: str = "") -> None:
    """Check that a decoded document has what its reader is going to use; it may hold more.

    Args:
        value: The document or a part of it.
        form: A dictionary of what an object must hold, by name; a list of the form of all items of an array; a tuple of
            the forms of its items one by one; or a type, such as ``str`` or ``int | None``.
        where: Where the part stands.

    Raises:
        ValueError: If it has another form; the message says where.
    """
    place = where or "the file"
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{place} is no object")
        for name, inner in form.items():
            path = f"{where}.{name}" if where else name
            if name not in value:
                raise ValueError(f"it lacks {path}")
            require_form(value[name], inner, path)
    elif isinstance(form, list | tuple):
        if not isinstance(value, list):
            raise ValueError(f"{place} is no array")
        forms = form * len(value) if isinstance(form, list) else form
        if len(value) != len(forms):
            raise ValueError(f"{place} holds {len(value)} values instead of {len(forms)}")
        for index, (item, inner) in enumerate(zip(value, forms, strict=True)):
            require_form(item, inner, f"{where}[{index}]")
    else:
        kinds = typing.get_args(form) or (form,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            words = [_WORDS[kind] for kind in kinds if not (kind is int and float in kinds)]
            raise ValueError(f"{place} is not {' or '.join(words)}")


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
