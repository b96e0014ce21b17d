# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Demonstrations in memory, whatever files they come from, and what this project writes about them into any file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zprl.spec import TaskSpec, typed
from zprl.utils.errors import ZprlError

FORMAT_VERSION = 2
"""Version of :class:`Metadata`."""

BEYOND_LIMITS = "a policy could not do what was demonstrated, so give the actions as the environment executes them"
"""Why actions beyond the limits are refused, and what to do."""


@dataclass(frozen=True)
class Demonstration:
    """A recorded episode of T control steps.

    Attributes:
        observations: Observations before each action by group: (T, D) float32, or of an image (T, ...).
        actions: Actions (T, A), float32.
        rewards: Rewards (T,), float32.
        dones: Whether the episode ended after the step (T,), bool.
        success: Whether it reached the task's goal.
    """

    observations: Mapping[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    dones: np.ndarray
    success: bool


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations of one task.

    Attributes:
        path: File or folder that they were read from.
        spec: What was observed and done.
        quality: Which demonstrator recorded them.
        seed: Seed of the recording.
        episodes: The demonstrations.
        env_args: Environment arguments that Isaac Lab and robomimic keep; empty if there are none.
        masks: Named subsets, as robomimic keeps them: indices of their demonstrations.
        notes: How the names in a data set of others were understood, a line each; none if it says so itself.
    """

    path: Path
    spec: TaskSpec
    quality: str
    seed: int
    episodes: list[Demonstration] = field(default_factory=list)
    env_args: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """Task id."""
        return self.spec.task

    @property
    def num_demos(self) -> int:
        """Number of demonstrations."""
        return len(self.episodes)

    @property
    def num_steps(self) -> int:
        """Number of control steps of all demonstrations together."""
        return sum(len(episode.actions) for episode in self.episodes)

    @property
    def num_successes(self) -> int:
        """Number of demonstrations that reached the goal."""
        return sum(episode.success for episode in self.episodes)


@dataclass(frozen=True)
class Metadata:
    """What no format of demonstrations holds by itself, and this project's files do, as JSON.

    Attributes:
        spec: What was observed and done.
        quality: Which demonstrator recorded them.
        seed: Seed of the recording.
        num_demos: Number of demonstrations.
    """

    spec: TaskSpec
    quality: str
    seed: int
    num_demos: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        values = {"format_version": FORMAT_VERSION, "spec": self.spec.to_dict()}
        return {**values, "quality": self.quality, "seed": self.seed, "num_demos": self.num_demos}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Metadata:
        """Read what :meth:`to_dict` returned.

        Args:
            values: The plain values.
            where: Where they stand in the data set, for the error message.

        Raises:
            ValueError: If they are of another version or wrong; the message continues a sentence about the data set.
        """
        if values.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"has format version {values.get('format_version')}, and this ZPRL reads version {FORMAT_VERSION}; "
                "record it again or install a matching version"
            )
        try:
            return cls(
                TaskSpec.from_dict(values["spec"]),
                typed(values, "quality", str),
                typed(values, "seed", int),
                typed(values, "num_demos", int),
            )
        except KeyError as error:
            raise ValueError(f"lacks the entry {error} in {where}") from error
        except (TypeError, ValueError, ZprlError) as error:
            raise ValueError(f"has a wrong entry in {where} ({error})") from error


def metadata(spec: TaskSpec, quality: str, seed: int, num_demos: int) -> str:
    """Return the attribute ``zprl`` of an HDF5 file."""
    return json.dumps(Metadata(spec, quality, seed, num_demos).to_dict(), allow_nan=False)


def require_fit(spec: TaskSpec, episodes: Sequence[Demonstration]) -> None:
    """Check that episodes which are going to be written fit their spec.

    Raises:
        ZprlError: If an episode's arrays do not, it has no steps, or its actions go beyond the limits.
    """
    for index, episode in enumerate(episodes):
        if np.shape(episode.actions)[1:] != (spec.action_dim,):
            raise ZprlError(
                f"demonstration {index} holds actions of shape {np.shape(episode.actions)}; {spec.action_dim} "
                "numbers belong to each step."
            )
        if len(episode.actions) == 0:
            raise ZprlError(f"demonstration {index} holds no step; leave it out.")
        if beyond := spec.beyond_limits(torch.as_tensor(episode.actions, dtype=torch.float32)):
            raise ZprlError(f"demonstration {index} holds {beyond}; {BEYOND_LIMITS}.")
        for group in spec.groups:
            values = episode.observations[group.name]
            if values.shape != (len(episode.actions), *group.shape):
                raise ZprlError(
                    f"demonstration {index} holds {len(episode.actions)} actions and observations {group.name} of "
                    f"shape {values.shape}; one of shape {group.shape} belongs to each action."
                )
            if group.is_image and values.dtype != np.dtype(group.features[0].dtype):
                raise ZprlError(
                    f"demonstration {index} holds images {group.name} of {values.dtype}, and the spec says "
                    f"{group.features[0].dtype}."
                )
