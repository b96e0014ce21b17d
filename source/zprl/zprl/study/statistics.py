# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Statistics over the seeds of a study: means with intervals, and what a learning curve amounts to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95% interval, which is None with fewer than two seeds."""

    mean: float
    low: float | None
    high: float | None
    count: int


def mean_interval(values: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf)) -> Estimate:
    """Return a mean with its 95% interval by Student's t, which suits the few seeds of a study.

    Args:
        values: One value per seed, at least one.
        bounds: Range that the quantity cannot leave, such as (0, 1) of a rate; the interval is cut there.

    Raises:
        ValueError: If there is no value.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) == 0:
        raise ValueError("a mean needs at least one value")
    mean = float(data.mean())
    if len(data) == 1:
        return Estimate(mean, None, None, 1)
    quantile = float(special.stdtrit(len(data) - 1, 0.975))  # of Student's t
    half = quantile * float(data.std(ddof=1)) / math.sqrt(len(data))
    return Estimate(mean, max(bounds[0], mean - half), min(bounds[1], mean + half), len(data))


def steps_to_reach(steps: Sequence[int], rates: Sequence[float], level: float) -> int | None:
    """Return when an evaluation first reached a level; nothing is interpolated between evaluations.

    Args:
        steps: Environment steps of the evaluations, increasing, shape (N,).
        rates: Success rates, shape (N,).
        level: Success rate to reach.

    Returns:
        Environment steps of the first evaluation at or above the level, None if there is none.
    """
    return next((step for step, rate in zip(steps, rates, strict=True) if rate >= level), None)


def area_under_curve(steps: Sequence[int], rates: Sequence[float], start: float) -> float:
    """Return the mean success over the budget: the area under the curve by the trapezoidal rule, divided by its width.

    Args:
        steps: Environment steps of the evaluations, increasing, shape (N,) with N >= 1.
        rates: Success rates, shape (N,).
        start: Success rate before learning, at step 0.
    """
    x, y = np.array([0, *steps], dtype=np.float64), np.array([start, *rates], dtype=np.float64)
    return float(np.trapezoid(y, x) / x[-1])
