# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Decoded JSON as dataclasses, strictly: every field is there, none is unknown, and each has its type."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any


def read_typed(kind: Any, value: Any, path: str = "") -> Any:
    """Turn decoded JSON into a value of an annotated type.

    Args:
        kind: A dataclass, list, dict with string keys, Any, float, int, str, or one of them or None.
        value: The decoded JSON. A number must be finite, and one that is whole may stand for a float.
        path: Where the value comes from, for the error message.

    Raises:
        ValueError: If it does not fit; the message says where.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise ValueError(f"{path} is not a group of fields")
        hints = typing.get_type_hints(kind)
        prefix = f"{path}." if path else ""
        unknown = sorted(set(value) - set(hints))
        missing = [name for name in hints if name not in value]
        if missing or unknown:
            problem = f"lacks {prefix}{missing[0]}" if missing else f"holds the unknown {prefix}{unknown[0]}"
            raise ValueError(f"it {problem}")
        return kind(**{name: read_typed(hint, value[name], prefix + name) for name, hint in hints.items()})
    if origin is types.UnionType:  # the only one is with None
        return None if value is None else read_typed(next(a for a in arguments if a is not types.NoneType), value, path)
    if origin is list and isinstance(value, list):
        return [read_typed(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {str(name): read_typed(arguments[1], item, f"{path}.{name}") for name, item in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    raise ValueError(f"{path} does not fit ({value!r})" if len(repr(value)) < 40 else f"{path} does not fit")
