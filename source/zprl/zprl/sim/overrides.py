# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Overrides of settings on the command line, whatever simulates the task; every mistake is said in one sentence."""

from __future__ import annotations

import ast
import typing
from collections.abc import Mapping
from typing import Any

from zprl.utils.configclass import is_configclass
from zprl.utils.constraints import NonNegativeFloat, PositiveFloat, PositiveInt, kinds_of, require
from zprl.utils.errors import ZprlError, did_you_mean

SELECTORS = ("physics", "renderer", "presets")
"""Override keys that choose among a task's presets instead of setting one option."""

ENV_KINDS = {
    "env.decimation": PositiveInt,
    "env.episode_length_s": PositiveFloat,
    "env.sim.dt": PositiveFloat,
    "env.sim.render_interval": PositiveInt,
    "env.scene.num_envs": PositiveInt,
    "env.scene.env_spacing": NonNegativeFloat,
}
"""Types and ranges of options of every configuration of Isaac Lab's, which does not say them."""

_REQUIRED = tuple(f"env.{name}" for name in ("scene", "sim", "observations", "actions", "rewards", "terminations"))
"""Groups of options that no environment is without."""

_LITERALS = {"true": True, "false": False, "none": None, "null": None}


def parse_value(text: str) -> Any:
    """Return the value of an override, as Isaac Lab reads it: a literal of Python, or else the text.

    Raises:
        MemoryError, RecursionError: If it is nested too deeply.
    """
    if text.lower() in _LITERALS:
        return _LITERALS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def split_override(override: str) -> tuple[str, Any]:
    """Return an override's key and value.

    Raises:
        ZprlError: If it is none.
    """
    key, separator, value = override.partition("=")
    if not separator or not value or not (key in SELECTORS or key.startswith(("env.", "agent."))):
        raise ZprlError(
            f"'{override}' is no override; write env.NAME=VALUE, agent.NAME=VALUE, physics=NAME, renderer=NAME or"
            " presets=NAME."
        )
    try:
        return key, value if key in SELECTORS else parse_value(value)
    except (MemoryError, RecursionError) as error:
        raise ZprlError(f"the value of '{key}' is nested too deeply; give a plain one.") from error


def check_override(override: str, reference: Mapping[str, Any]) -> None:
    """Check an override of one option.

    Args:
        override: ``env.NAME=VALUE`` or ``agent.NAME=VALUE``.
        reference: The configurations that it is to change, ``env`` and ``agent``; None for none.

    Raises:
        ZprlError: If the option does not exist, or the value is of another type or out of range.
    """
    key, value = split_override(override)
    section, *path = key.split(".")
    node = reference[section]
    if node is None:
        raise ZprlError(f"'{override}' cannot be applied: no learner is configured here.")
    walked, kind = section, type(node)
    for name in path:
        options = node if isinstance(node, Mapping) else getattr(node, "__dataclass_fields__", {})
        if name not in options and name not in getattr(node, "__dict__", {}):
            names = [str(option) for option in options]
            raise ZprlError(f"'{override}': {walked} has no option '{name}'{did_you_mean(name, names)}.")
        walked = f"{walked}.{name}"
        kind = _kind_of(node, kind, name, walked)
        node = node[name] if isinstance(node, Mapping) else getattr(node, name)
    if isinstance(node, Mapping) and node and isinstance(value, Mapping):
        raise ZprlError(f"'{override}': {walked} must be set option by option: replacing it would lose its defaults.")
    require(kind, value, walked, node, f"'{override}': ")


def _kind_of(parent: Any, parent_kind: Any, name: str, path: str) -> Any:
    """Return the type of an option, as an annotation says it."""
    value = parent[name] if isinstance(parent, Mapping) else getattr(parent, name)
    if path in ENV_KINDS:
        return ENV_KINDS[path]
    if path in _REQUIRED:
        return type(value)
    if typing.get_origin(parent_kind) is dict:
        return typing.get_args(parent_kind)[1]
    if isinstance(parent, Mapping):
        return _kind_like(value)
    if is_configclass(type(parent)):
        return kinds_of(type(parent))[name]
    # Annotations of Isaac Lab's are texts, which cannot all be resolved. Null leaves out a term or a group of terms.
    field = getattr(parent, "__dataclass_fields__", {}).get(name)
    kind, group = _kind_like(value), hasattr(value, "__dataclass_fields__")
    nullable = field is None or group or any(word in str(field.type) for word in ("None", "Any", "object"))
    return kind | None if nullable and kind is not Any else kind


def _kind_like(value: Any) -> Any:
    """Return the type of what may stand in place of a value."""
    if value is None or callable(value):
        return Any
    if isinstance(value, list | tuple):
        return list[Any]
    if isinstance(value, bool | int | float):
        return type(value)
    if isinstance(value, Mapping) or hasattr(value, "__dataclass_fields__"):
        return type(value)  # a group of options is set option by option: replacing it would lose its defaults
    return Any
