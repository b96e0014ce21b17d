# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Configurations as dataclasses in the style of Isaac Lab's ``configclass``, without Isaac Lab.

What learns and acts must run where no simulator is installed. Isaac Lab's own resolves these configurations like its
own ones: it reads their fields and calls their methods ``to_dict`` and ``from_dict``.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, dataclass_transform

_CLASSES: set[type] = set()


@dataclass_transform(field_specifiers=(dataclasses.field,))
def configclass[T](cls: type[T]) -> type[T]:
    """Make a class a configuration: a dataclass whose every instance owns its values.

    Annotations say types and ranges, see :mod:`zprl.utils.constraints`. Values may be mutable, a subclass may give a
    field another default without repeating its annotation, and a field whose default is :data:`dataclasses.MISSING` is
    left open until somebody sets it.

    Args:
        cls: The class.
    """
    annotations = dict(inspect.get_annotations(cls))
    for name, value in list(vars(cls).items()):
        if name.startswith("_") or callable(value) or isinstance(value, property | staticmethod | classmethod):
            continue
        annotations.setdefault(name, _inherited_annotation(cls, name) or type(value))
        if not isinstance(value, dataclasses.Field):
            setattr(cls, name, dataclasses.field(default_factory=_owned(value)))
    cls.__annotations__ = annotations
    _CLASSES.add(cls)
    cls.to_dict = class_to_dict  # type: ignore[attr-defined]
    cls.from_dict = update_from_dict  # type: ignore[attr-defined]
    return dataclasses.dataclass(cls)


def is_configclass(cls: type) -> bool:
    """Return whether :func:`configclass` made a class."""
    return cls in _CLASSES


def class_to_dict(cfg: Any) -> dict[str, Any]:
    """Return a configuration as nested dictionaries; other values stay as they are."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {name: plain(item) for name, item in vars(value).items()}
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(plain(item) for item in value)
        return value

    return plain(cfg)


def update_from_dict(cfg: Any, values: Mapping[str, Any]) -> None:
    """Set a configuration's values from what :func:`class_to_dict` returned.

    Raises:
        KeyError: If a name is unknown.
    """
    for name, value in values.items():
        if not hasattr(cfg, name):
            raise KeyError(f"{type(cfg).__name__} has no {name}")
        current = getattr(cfg, name)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(current):
            update_from_dict(current, value)
        else:
            setattr(cfg, name, tuple(value) if isinstance(current, tuple) and isinstance(value, list) else value)


def _inherited_annotation(cls: type, name: str) -> Any:
    for base in cls.__mro__[1:]:
        if name in inspect.get_annotations(base):
            return typing.get_type_hints(base, include_extras=True)[name]
    return None


def _owned(value: Any) -> Callable[[], Any]:
    # What is left open stays so until somebody sets it; there is only one MISSING.
    return lambda: value if value is dataclasses.MISSING else copy.deepcopy(value)
