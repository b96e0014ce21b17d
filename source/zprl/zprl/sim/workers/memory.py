# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a vector environment and its workers share: arrays with a row per world, in one piece of memory."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Space

_ALIGNMENT = 64
"""Where arrays begin [bytes]: no cache line holds parts of two."""


class SharedRows:
    """Arrays of N worlds that several processes see.

    Attributes:
        action: Actions (N, A).
        obs: Observations, nested as the space is, each (N, ...); of the fresh episode where one has ended.
        final: Observations that episodes ended with; rows of other worlds hold what was there before.
        reward: Rewards (N,), float64.
        terminated: Whether episodes ended by their rules (N,), bool.
        truncated: Whether they ran out of time (N,), bool.
        success: Whether the worlds said that they have succeeded (N,), bool.
        told: Whether they said anything of it (N,), bool.

    Args:
        descriptor: A file of :attr:`size` bytes, or None to make one.
        num_envs: Number of worlds N.
        observations: Space of one world's observations.
        actions: Space of one world's actions.
    """

    def __init__(self, descriptor: int | None, num_envs: int, observations: Space, actions: Box) -> None:
        arrays = {"action": _rows(actions, num_envs), "obs": _rows(observations, num_envs)}
        arrays |= {"final": _rows(observations, num_envs), "reward": (np.dtype(np.float64), (num_envs,))}
        arrays |= {name: (np.dtype(bool), (num_envs,)) for name in ("terminated", "truncated", "success", "told")}
        ends = np.cumsum([_padded(dtype, shape) for dtype, shape in _leaves(arrays)])
        size = int(ends[-1])
        if descriptor is None:
            descriptor = os.memfd_create("zprl-worlds")  # goes with the last process that holds it
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, size)
        starts = iter([0, *ends.tolist()])
        self.action: np.ndarray = self._placed(arrays["action"], starts)
        self.obs: Any = self._placed(arrays["obs"], starts)
        self.final: Any = self._placed(arrays["final"], starts)
        self.reward: np.ndarray = self._placed(arrays["reward"], starts)
        self.terminated: np.ndarray = self._placed(arrays["terminated"], starts)
        self.truncated: np.ndarray = self._placed(arrays["truncated"], starts)
        self.success: np.ndarray = self._placed(arrays["success"], starts)
        self.told: np.ndarray = self._placed(arrays["told"], starts)

    def _placed(self, part: Any, starts: Iterator[int]) -> Any:
        if isinstance(part, dict):
            return {name: self._placed(inner, starts) for name, inner in part.items()}
        dtype, shape = part
        return np.ndarray(shape, dtype, self._memory, next(starts))


def write_row(rows: Any, index: int, value: Any) -> None:
    """Write what one world observes into its row."""
    if isinstance(rows, dict):
        for name, inner in rows.items():
            write_row(inner, index, value[name])
    else:
        rows[index] = value


def copied(rows: Any) -> Any:
    """Return a copy of all rows."""
    if isinstance(rows, dict):
        return {name: copied(inner) for name, inner in rows.items()}
    return rows.copy()


def _rows(space: Space, num_envs: int) -> Any:
    """Return type and shape of a batch of a space, nested as it is."""
    if isinstance(space, Dict):
        return {name: _rows(part, num_envs) for name, part in space.spaces.items()}
    if not isinstance(space, Box):
        raise TypeError(f"worlds in processes observe and do boxes of numbers, alone or in a Dict, not {space}")
    return space.dtype, (num_envs, *space.shape)


def _leaves(part: Any) -> Iterator[tuple[np.dtype, tuple[int, ...]]]:
    if isinstance(part, dict):
        for inner in part.values():
            yield from _leaves(inner)
    else:
        yield part


def _padded(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    size = dtype.itemsize * int(np.prod(shape))
    return -(-size // _ALIGNMENT) * _ALIGNMENT
