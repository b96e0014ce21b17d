# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Statistics of features as LeRobot keeps them, by which its policies normalise."""

from __future__ import annotations

from typing import Any

import numpy as np

_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_MOST_DEPTHS = 1_000_000
"""Pixels of depth images of which quantiles are taken."""

Statistics = dict[str, Any]
"""Lists by name: min, max, mean, std, count and quantiles."""


def of_vectors(values: np.ndarray) -> Statistics:
    """Return the statistics of numbers (T, D), each a list of D."""
    values = values.astype(np.float64)
    quantiles = np.quantile(values, list(_QUANTILES.values()), axis=0)
    return {
        "min": values.min(axis=0).tolist(),
        "max": values.max(axis=0).tolist(),
        "mean": values.mean(axis=0).tolist(),
        "std": values.std(axis=0).tolist(),
        "count": [len(values)],
        **dict(zip(_QUANTILES, quantiles.tolist(), strict=True)),
    }


def histogram(images: np.ndarray) -> np.ndarray:
    """Return how often each byte comes in each channel of images (T, height, width, C), shape (C, 256)."""
    return np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])])


def of_histogram(counts: np.ndarray, num_images: int) -> Statistics:
    """Return the statistics of bytes as shares of 255, each of shape (C, 1, 1); see :func:`histogram`."""
    values, total = np.arange(256) / 255.0, counts.sum(axis=1, keepdims=True)
    mean = counts @ values / total[:, 0]
    below = counts.cumsum(axis=1)
    statistics = {
        "min": values[(counts > 0).argmax(axis=1)],
        "max": values[255 - (counts[:, ::-1] > 0).argmax(axis=1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(counts @ values**2 / total[:, 0] - mean**2, 0.0)),
    }
    for name, share in _QUANTILES.items():
        statistics[name] = values[(below >= share * total).argmax(axis=1)]
    return {name: value[:, None, None].tolist() for name, value in statistics.items()} | {"count": [num_images]}


def of_depths(images: np.ndarray) -> Statistics:
    """Return the statistics of depths (T, height, width, 1) in their own unit, each of shape (1, 1, 1)."""
    pixels = images.reshape(-1, 1)
    statistics = of_vectors(pixels[:: 1 + len(pixels) // _MOST_DEPTHS])
    statistics |= {"min": [float(pixels.min())], "max": [float(pixels.max())]}
    return {name: [[value]] for name, value in statistics.items()} | {"count": [len(images)]}
