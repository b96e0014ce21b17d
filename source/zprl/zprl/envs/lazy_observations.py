# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Observations whose images are drawn when somebody looks at them: once per chunk, not in every control step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor

from zprl.spec import Observations


class LazyObservations(Mapping[str, Tensor]):
    """Observations with images that are drawn together, when one of them is first asked for.

    What they are drawn from is kept with the observations, so that they show the moment of the observation whenever
    they are drawn.

    Args:
        vectors: What is there already, by group.
        images: Names of the groups that are images.
        draw: Draws all images of some worlds, given by their indices (n,), or of all with None.
    """

    def __init__(
        self,
        vectors: Observations,
        images: Sequence[str],
        draw: Callable[[Tensor | None], Observations],
    ) -> None:
        self._vectors = vectors
        self._images = tuple(images)
        self._draw = draw
        self._drawn: Observations | None = None

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._images:
            return self._vectors[name]
        if self._drawn is None:
            self._drawn = self._draw(None)
        return self._drawn[name]

    def __contains__(self, name: object) -> bool:
        return name in self._vectors or name in self._images

    def __iter__(self) -> Iterator[str]:
        yield from self._vectors
        yield from self._images

    def __len__(self) -> int:
        return len(self._vectors) + len(self._images)

    def rows(self, rows: Tensor) -> Observations:
        """Return the observations of some worlds, whose images alone are drawn.

        Args:
            rows: Their indices (n,).
        """
        images = self._draw(rows) if self._drawn is None else {name: self._drawn[name][rows] for name in self._images}
        return {**{name: value[rows] for name, value in self._vectors.items()}, **images}

    def replaced(self, vectors: Observations) -> LazyObservations:
        """Return these observations with other vectors in place of some, and the same images."""
        changed = LazyObservations({**self._vectors, **vectors}, self._images, self._draw)
        changed._drawn = self._drawn
        return changed


def rows_of(obs: Observations, rows: Tensor) -> Observations:
    """Return the observations of some worlds, given by their indices (n,); no more images are drawn than these."""
    if isinstance(obs, LazyObservations):
        return obs.rows(rows)
    return {name: value[rows] for name, value in obs.items()}


def replaced(obs: Observations, vectors: Observations) -> Observations:
    """Return observations with other vectors in place of some; no image is drawn."""
    return obs.replaced(vectors) if isinstance(obs, LazyObservations) else {**obs, **vectors}
