# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Statistics over the seeds of a study: means with intervals, and what a learning curve amounts to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zprl.evaluation.statistics import Z_95

# fmt: off
_T_975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)
# fmt: on
"""0.975 quantiles of Student's t distribution with 1, 2, ..., 30 degrees of freedom."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95% interval, which is None with fewer than two seeds."""

    mean: float
    low: float | None
    high: float | None
    count: int


def t_quantile(degrees_of_freedom: int) -> float:
    """Return the 0.975 quantile of Student's t distribution, for two-sided 95% intervals.

    Beyond 30 degrees of freedom it is expanded around the normal quantile (M. Abramowitz and I. A. Stegun, "Handbook of
    Mathematical Functions", 1964, 26.7.5), to four decimals.

    Raises:
        ValueError: If there is no degree of freedom.
    """
    if degrees_of_freedom < 1:
        raise ValueError(f"needs at least one degree of freedom, got {degrees_of_freedom}")
    if degrees_of_freedom <= len(_T_975):
        return _T_975[degrees_of_freedom - 1]
    z, n = Z_95, degrees_of_freedom
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)


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
    half = t_quantile(len(data) - 1) * float(data.std(ddof=1)) / math.sqrt(len(data))
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
