# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Statistics of an evaluation: success rates with intervals, paired comparisons and smoothness of motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Z_95 = 1.959963984540054
"""Quantile of the standard normal distribution for two-sided 95% intervals."""


@dataclass(frozen=True)
class SuccessRate:
    """Share of successful episodes with its 95% Wilson score interval."""

    successes: int
    episodes: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedComparison:
    """Two policies evaluated on the same initial states, episode by episode."""

    episodes: int
    only_base: int
    """Episodes in which only the base policy succeeded."""
    only_steered: int
    """Episodes in which only the steered policy succeeded."""
    difference: float
    """Success rate of the steered policy minus that of the base policy."""
    low: float
    """Lower end of the 95% interval of :attr:`difference`."""
    high: float
    """Upper end of the 95% interval of :attr:`difference`."""
    p_value: float
    """Two-sided exact McNemar test of equal success rates."""


@dataclass(frozen=True)
class Smoothness:
    """Mean finite-difference norms of the end-effector position, and of the joints', over successful trajectories.

    None, since JSON has no NaN, where no trajectory is long enough.
    """

    velocity: float | None
    """Mean speed [m/s]."""
    acceleration: float | None
    """Mean norm of the acceleration [m/s^2]."""
    jerk: float | None
    """Mean norm of the jerk [m/s^3]."""
    joint_jerk: float | None
    """Mean root mean square of the joints' jerk [rad/s^3]; None also where a task names no joints."""
    trajectories: int
    """Number of successful trajectories."""


def wilson_interval(successes: int, episodes: int, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a success probability.

    Unlike the normal approximation it stays within [0, 1] and is not empty at 0 or 100% success.
    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Args:
        successes: Number of successful episodes.
        episodes: Number of episodes. With none, nothing is known: the interval is (0, 1).
        z: Normal quantile of the confidence level.

    Raises:
        ValueError: If the counts are negative or there are more successes than episodes.
    """
    if not 0 <= successes <= episodes:
        raise ValueError(f"successes must be in [0, episodes], got {successes} of {episodes}")
    if episodes == 0:
        return 0.0, 1.0
    rate = successes / episodes
    scale = 1.0 + z**2 / episodes
    center = (rate + z**2 / (2 * episodes)) / scale
    half = z / scale * math.sqrt(rate * (1.0 - rate) / episodes + z**2 / (4 * episodes**2))
    # Exact at the borders, where rounding would leave something like 1e-17.
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == episodes else center + half
    return low, high


def success_rate(successes: ArrayLike) -> SuccessRate:
    """Summarize the outcomes of episodes, shape (N,); a ValueError if there is none."""
    outcomes = _outcomes(successes)
    count, episodes = int(outcomes.sum()), len(outcomes)
    return SuccessRate(count, episodes, count / episodes, *wilson_interval(count, episodes))


def paired_comparison(base: ArrayLike, steered: ArrayLike) -> PairedComparison:
    """Compare two policies on the same episodes, which needs far fewer of them than comparing two separate rates.

    Source of the interval: R. G. Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17, 1998, method 10 (Wilson intervals combined with the
    continuity-corrected correlation of the pairs).

    Args:
        base: Whether the base policy succeeded in each episode, shape (N,) with N >= 1.
        steered: Whether the steered policy succeeded from the same initial states in the same order, shape (N,).

    Raises:
        ValueError: If the shapes differ or there is no episode.
    """
    first, second = _outcomes(base), _outcomes(steered)
    if len(first) != len(second):
        raise ValueError(f"paired outcomes must have equal lengths, got {len(first)} and {len(second)}")
    episodes = len(first)
    both = int((second & first).sum())
    only_steered = int((second & ~first).sum())
    only_base = int((first & ~second).sum())
    neither = episodes - both - only_steered - only_base

    p_base, p_steered = (both + only_base) / episodes, (both + only_steered) / episodes
    low_base, high_base = wilson_interval(both + only_base, episodes)
    low_steered, high_steered = wilson_interval(both + only_steered, episodes)
    margins = (both + only_steered) * (only_base + neither) * (both + only_base) * (only_steered + neither)
    product = both * neither - only_steered * only_base
    if product > 0:
        product = max(product - episodes / 2, 0.0)  # Newcombe's continuity correction
    correlation = product / math.sqrt(margins) if margins else 0.0
    difference = p_steered - p_base

    def combine(of_steered: float, of_base: float) -> float:
        square = of_steered**2 - 2 * correlation * of_steered * of_base + of_base**2
        return math.sqrt(max(square, 0.0))

    return PairedComparison(
        episodes=episodes,
        only_base=only_base,
        only_steered=only_steered,
        difference=difference,
        low=difference - combine(p_steered - low_steered, high_base - p_base),
        high=difference + combine(high_steered - p_steered, p_base - low_base),
        p_value=mcnemar_p_value(only_base, only_steered),
    )


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Return the two-sided exact McNemar p-value: the probability of a split at least as uneven as the observed one.

    If both policies are equally good, each of the pairs in which only one succeeded is a fair coin flip.
    """
    pairs = only_first + only_second
    tail = sum(math.comb(pairs, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**pairs)  # whole numbers, whose quotient is exact for any number of pairs


def smoothness(
    positions: Sequence[ArrayLike], dt: float, successes: ArrayLike, joints: Sequence[ArrayLike] = ()
) -> Smoothness:
    """Measure how smoothly the end-effector moves, as the ZPRL paper does (arXiv 2605.19919), and the joints.

    Velocity, acceleration and jerk are the first, second and third forward differences of the position, divided by
    ``dt``, ``dt^2`` and ``dt^3``. Their norms are averaged over all samples of all successful trajectories, so a long
    trajectory counts for more than a short one.

    Args:
        positions: Position of the end effector at every control step of each trajectory [m], shape (T_i, 3), or of
            several end effectors, shape (T_i, P, 3), over which the mean is taken as well. Without any trajectory
            nothing is known.
        dt: Duration of a control step [s].
        successes: Whether each trajectory succeeded, shape (N,).
        joints: Positions of the joints at every control step of each trajectory [rad], shape (T_i, J), or none at all.
            Those of a sliding joint [m] count alike, a metre as a radian.

    Raises:
        ValueError: If the numbers of trajectories and outcomes differ, a shape is wrong or ``dt`` is not positive.
    """
    outcomes = np.asarray(successes, dtype=bool)
    if not dt > 0.0:
        raise ValueError(f"dt must be positive, got {dt}")
    for trajectories in (positions, joints):
        if len(trajectories) not in (0, len(outcomes)):
            raise ValueError(f"got {len(trajectories)} trajectories but {len(outcomes)} outcomes")
    points, angles = (
        [np.asarray(p, dtype=np.float64) for p, success in zip(trajectories, outcomes, strict=False) if success]
        for trajectories in (positions, joints)
    )
    for trajectory in points:
        if trajectory.ndim not in (2, 3) or trajectory.shape[-1] != 3:
            raise ValueError(f"a trajectory must have shape (T, 3) or (T, P, 3), got {trajectory.shape}")
    for trajectory in angles:
        if trajectory.ndim != 2 or trajectory.shape[-1] == 0:
            raise ValueError(f"a trajectory of joints must have shape (T, J), got {trajectory.shape}")

    def mean_norm(trajectories: list[np.ndarray], order: int) -> float | None:
        norms = [np.linalg.norm(np.diff(t, n=order, axis=0), axis=-1).ravel() for t in trajectories if len(t) > order]
        return float(np.concatenate(norms).mean() / dt**order) if norms else None

    joint_jerk = mean_norm([trajectory / math.sqrt(trajectory.shape[-1]) for trajectory in angles], 3)
    velocity, acceleration, jerk = (mean_norm(points, order) for order in (1, 2, 3))
    return Smoothness(velocity, acceleration, jerk, joint_jerk, len(points))


def policy_summary(
    successes: ArrayLike,
    steps: ArrayLike,
    positions: Sequence[ArrayLike],
    dt: float,
    joints: Sequence[ArrayLike] = (),
) -> dict[str, Any]:
    """Collect what an evaluation found out about one policy, ready for JSON and for the result table.

    Args:
        successes: Whether each episode succeeded, shape (N,) with N >= 1.
        steps: Number of control steps of each episode, shape (N,).
        positions: Positions of each episode's end effectors; see :func:`smoothness`.
        dt: Duration of a control step [s].
        joints: Positions of each episode's joints; see :func:`smoothness`.

    Returns:
        The fields of :class:`SuccessRate` and :class:`Smoothness`, and ``mean_steps``: the mean number of steps to
        success, None if no episode succeeded.

    Raises:
        ValueError: If the numbers of episodes differ or there is none.
    """
    outcomes, lengths = _outcomes(successes), np.asarray(steps, dtype=np.float64)
    if lengths.shape != outcomes.shape:
        raise ValueError(f"got {len(outcomes)} outcomes but steps of shape {lengths.shape}")
    mean_steps = float(lengths[outcomes].mean()) if outcomes.any() else None
    motion = smoothness(positions, dt, outcomes, joints)
    return {**asdict(success_rate(outcomes)), "mean_steps": mean_steps, **asdict(motion)}


def _outcomes(successes: ArrayLike) -> np.ndarray:
    outcomes = np.asarray(successes, dtype=bool)
    if outcomes.ndim != 1 or len(outcomes) == 0:
        raise ValueError(f"outcomes must have shape (N,) with N >= 1, got {outcomes.shape}")
    return outcomes
