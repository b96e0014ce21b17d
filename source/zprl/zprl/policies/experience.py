# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a policy has met, in numbers that are few enough to be kept in its file.

Demonstrations may be gone when a policy is exported, or another file may lie where they lay. So their ranges are taken
when the policy is trained on them, and what it met in recorded episodes is added to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zprl.spec import TaskSpec


@dataclass(frozen=True)
class Experience:
    """Ranges of what was observed and done, and where the latents lay.

    Attributes:
        minimum: Smallest observed values (D,) of each observation group that is no image.
        maximum: Largest observed values (D,) of each of them.
        max_change: Largest change (A,) of an action between two control steps of an episode.
        num_latents: Number of latents.
        latent_mean: Their mean (L,).
        latent_std: Their standard deviation (L,).
    """

    minimum: dict[str, list[float]]
    maximum: dict[str, list[float]]
    max_change: list[float]
    num_latents: int
    latent_mean: list[float]
    latent_std: list[float]

    @classmethod
    def of(
        cls,
        observations: Sequence[Mapping[str, np.ndarray]],
        actions: Sequence[np.ndarray],
        num_latents: int,
        latent_mean: Sequence[float],
        latent_std: Sequence[float],
    ) -> Experience:
        """Take the ranges of some episodes.

        Args:
            observations: Observations of each episode, (T_i, D) for each group; those of another form are left out.
            actions: Actions (T_i, A) of each episode.
            num_latents: Number of latents.
            latent_mean: Their mean (L,).
            latent_std: Their standard deviation (L,).
        """
        vectors = [name for name, values in observations[0].items() if values.ndim == 2]
        changes = [np.abs(np.diff(moves, axis=0)).max(axis=0, initial=0.0) for moves in actions]
        return cls(
            {name: np.min([obs[name].min(axis=0) for obs in observations], axis=0).tolist() for name in vectors},
            {name: np.max([obs[name].max(axis=0) for obs in observations], axis=0).tolist() for name in vectors},
            np.max(changes, axis=0).tolist(),
            num_latents,
            list(latent_mean),
            list(latent_std),
        )

    def merged(self, other: Experience) -> Experience:
        """Return this and what else was met; of observations, the groups that both know."""
        names = [name for name in self.minimum if name in other.minimum]
        counts = np.array([self.num_latents, other.num_latents], dtype=np.float64)
        means = np.array([self.latent_mean, other.latent_mean], dtype=np.float64)
        stds = np.array([self.latent_std, other.latent_std], dtype=np.float64)
        mean = counts @ means / counts.sum()
        variance = counts @ (stds**2 + (means - mean) ** 2) / counts.sum()
        return Experience(
            {name: np.minimum(self.minimum[name], other.minimum[name]).tolist() for name in names},
            {name: np.maximum(self.maximum[name], other.maximum[name]).tolist() for name in names},
            np.maximum(self.max_change, other.max_change).tolist(),
            self.num_latents + other.num_latents,
            mean.tolist(),
            np.sqrt(variance).tolist(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], spec: TaskSpec, latent_dim: int) -> Experience:
        """Read what :meth:`to_dict` returned.

        Args:
            values: The values.
            spec: What the policy observes and does.
            latent_dim: Length L of its latent.

        Raises:
            KeyError: If an entry or a group is missing.
            TypeError: If an entry has a wrong type.
            ValueError: If an entry has another length, or a number is not finite.
        """
        num_latents = int(values["num_latents"])
        if num_latents < 1:
            raise ValueError(f"{num_latents} latents have no mean")
        sizes = {group.name: group.shape[0] for group in spec.vectors}
        return cls(
            {name: _numbers(values["minimum"][name], size) for name, size in sizes.items()},
            {name: _numbers(values["maximum"][name], size) for name, size in sizes.items()},
            _numbers(values["max_change"], spec.action_dim),
            num_latents,
            _numbers(values["latent_mean"], latent_dim),
            _numbers(values["latent_std"], latent_dim),
        )


def _numbers(values: Sequence[Any], count: int) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{count} finite numbers were expected instead of {len(numbers)}")
    return numbers
