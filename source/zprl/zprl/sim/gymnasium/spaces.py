# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium's spaces as groups of observations and terms of actions."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict

from zprl.spec import ActionTerm, Feature, Group
from zprl.utils.errors import ZprlError

PLAIN_GROUP = "policy"
"""Name of the group and the feature that observations without names become."""

ACTION_TERM = "action"
"""Name of the one action term."""


Layout = list[tuple[Group, list[tuple[str, ...]]]]
"""Groups of a spec, each with the keys to its features in a space's observations, in order."""


def read(layout: Layout, obs: Any) -> dict[str, np.ndarray]:
    """Return a batch's observations by group: (N, D) float32, or an image (N, ...) in its own type.

    Arrays may be the environment's own buffers.
    """
    values = {}
    for group, paths in layout:
        parts = [np.asarray(functools.reduce(operator.getitem, path, obs)) for path in paths]
        value = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        values[group.name] = value.astype(group.features[0].dtype, copy=False)
    return values


def read_layout(task: str, space: Space, privileged: Sequence[str]) -> Layout:
    """Return what a space's observations hold.

    Args:
        task: Task id, for error messages.
        space: The space of one world.
        privileged: Names of the groups that only a simulator knows.

    Raises:
        ZprlError: If it holds what policies cannot be given, or a privileged group is not there or is an image.
    """
    if isinstance(space, Dict):
        entries = [(str(key), _group(task, str(key), part, key in privileged)) for key, part in space.spaces.items()]
        groups = [(group, [(key, *path) for path in paths]) for key, (group, paths) in entries]
    else:
        groups = [_group(task, PLAIN_GROUP, space, PLAIN_GROUP in privileged)]
    names = [group.name for group, _ in groups]
    unknown = [name for name in privileged if name not in names]
    if unknown or not names:
        missing = f"{unknown[0]}, which is to be privileged" if unknown else "anything that a policy could act on"
        raise ZprlError(f"task {task} does not observe {missing}; it observes {', '.join(names) or 'nothing'}.")
    return groups


def read_actions(task: str, space: Space, idle: Sequence[float] | None) -> ActionTerm:
    """Return what a space's actions are.

    Args:
        task: Task id, for error messages.
        space: The space of one world.
        idle: What keeps the robots as they are (A,); zero, or the limit next to it, if None.

    Raises:
        ZprlError: If the space is no box of floats (A,), or the idle action does not lie in it.
    """
    if not isinstance(space, Box) or len(space.shape) != 1 or space.dtype.kind != "f":
        raise ZprlError(f"the actions of task {task} are {space}; policies put out one box of floats of shape (A,).")
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    values = np.clip(np.zeros_like(low), low, high) if idle is None else np.asarray(idle, dtype=np.float64)
    if values.shape != low.shape or not ((low <= values) & (values <= high)).all():
        raise ZprlError(f"the idle action {values.tolist()} of task {task} does not lie in its action space {space}.")
    return ActionTerm(ACTION_TERM, tuple(low.tolist()), tuple(high.tolist()), tuple(values.tolist()))


def _group(task: str, name: str, space: Space, privileged: bool) -> tuple[Group, list[tuple[str, ...]]]:
    """Return the group of a name and the keys to its features."""
    kind = "privileged" if privileged else "state"
    if _is_vector(space):
        return Group(name, (Feature(name, space.shape, kind),)), [()]  # type: ignore[arg-type]
    if isinstance(space, Dict) and space.spaces and all(_is_vector(part) for part in space.spaces.values()):
        features = tuple(Feature(str(key), part.shape, kind) for key, part in space.spaces.items())  # type: ignore[arg-type]
        return Group(name, features), [(feature.name,) for feature in features]
    if isinstance(space, Box) and len(space.shape) == 3 and not privileged:
        dtype = "uint8" if space.dtype == np.uint8 else "float32"
        if dtype == "uint8" or space.dtype.kind == "f":
            return Group(name, (Feature(name, space.shape, "image", dtype),)), [()]
    raise ZprlError(
        f"the observations {name} of task {task} are {space}; policies see boxes of floats of shape (D,), alone or "
        "in a Dict, and, unless they are privileged, images of floats or uint8 of shape (height, width, channels)."
    )


def _is_vector(space: Space) -> bool:
    return isinstance(space, Box) and len(space.shape) == 1 and space.dtype.kind == "f"
