# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What variants reach over several tasks: interquartile means with intervals of the stratified bootstrap.

This is the practice of Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (arXiv
2108.13264). Their package rliable brings arch, pandas, statsmodels and seaborn; SciPy has all that is needed of it, the
trimmed mean and a bootstrap that draws every sample by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zprl.study.grid import Variant
from zprl.study.results import Estimate, RunResult, VariantResult, steps_to_reach

GAP_LEVEL = 0.8
"""Share of the gap between the base policy and certain success whose first evaluation the summary names."""


@dataclass(frozen=True)
class VariantSummary:
    """What a variant reaches over all tasks; ``dataclasses.asdict`` makes it JSON.

    Estimates are interquartile means over the runs of all tasks, None as long as a task has none. All but that of the
    success leave out runs whose base policy always succeeds, which has no gap to close.
    """

    variant: Variant
    num_runs: dict[str, int]
    """Finished runs by task."""
    final_success: Estimate | None
    """Success rate of the last evaluation."""
    gap_closed: Estimate | None
    """Share of the gap that the last evaluation has closed; see :func:`gap_closed`."""
    steps_to_gap_level: Estimate | None
    """Environment steps until :data:`GAP_LEVEL` of the gap is closed; the budget for a run that never gets there."""
    num_reached: int
    """Runs that got there."""
    curve: list[Estimate]
    """Share of the gap that is closed at step 0 and at each mark; empty where there are no estimates."""


def interquartile_means(scores: Sequence[NDArray[np.float64]], num_resamples: int = 10_000) -> list[Estimate]:
    """Return the means of the middle halves of all runs' scores, with 95% intervals of the stratified bootstrap.

    It draws runs anew within each task: which tasks there are is certain, and which seeds is not.

    Args:
        scores: Scores of each task, at least one, shape (S_t, M) each: of its S_t >= 1 runs in M respects.
        num_resamples: How often runs are drawn, the same ones in all respects and for equal scores.

    Returns:
        An estimate in each of the M respects; without intervals if a task has a single run.
    """
    from scipy import stats  # takes a second to import

    def over_all_tasks(*samples: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return stats.trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)

    means, count = over_all_tasks(*scores, axis=0), sum(map(len, scores))
    if min(map(len, scores)) < 2:
        return [Estimate(float(mean), None, None, count) for mean in means]
    interval = stats.bootstrap(
        scores,
        over_all_tasks,
        axis=0,
        vectorized=True,
        n_resamples=num_resamples,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    rows = zip(means, interval.low, interval.high, strict=True)
    return [Estimate(float(mean), float(low), float(high), count) for mean, low, high in rows]


def gap_closed(rate: float, base: float) -> float:
    """Return which share of the gap between a base policy's success rate, below 1, and certain success a rate closes.

    It is negative where the rate is below the base policy's.
    """
    return (rate - base) / (1.0 - base)


def summarize_variants(results: Mapping[str, Sequence[VariantResult]], marks: Sequence[int]) -> list[VariantSummary]:
    """Return the summaries of all variants that some task has.

    Args:
        results: Results by task.
        marks: Environment steps of the evaluations, the same on all tasks; the last one is the budget.
    """
    variants = {result.variant.name: result.variant for of_task in results.values() for result in of_task}
    summaries = []
    for name, variant in variants.items():
        runs = {task: _runs_of(name, of_task) for task, of_task in results.items()}
        summaries.append(_summary(variant, runs, marks))
    return summaries


def _runs_of(name: str, results: Sequence[VariantResult]) -> list[RunResult]:
    return [run for result in results if result.variant.name == name for run in result.runs]


def _summary(variant: Variant, runs: Mapping[str, Sequence[RunResult]], marks: Sequence[int]) -> VariantSummary:
    num_runs = {task: len(of_task) for task, of_task in runs.items()}
    if not all(num_runs.values()):
        return VariantSummary(variant, num_runs, None, None, None, 0, [])
    (final,) = interquartile_means([np.array([[run.rates[-1]] for run in of_task]) for of_task in runs.values()])
    with_gap = [[run for run in of_task if run.base["rate"] < 1.0] for of_task in runs.values()]
    with_gap = [of_task for of_task in with_gap if of_task]
    if not with_gap:
        return VariantSummary(variant, num_runs, final, None, None, 0, [])
    curve = interquartile_means([np.array([_gap_curve(run) for run in of_task]) for of_task in with_gap])
    reached = [[_steps_to_gap_level(run, marks) for run in of_task] for of_task in with_gap]
    num_reached = sum(steps is not None for of_task in reached for steps in of_task)
    budget = marks[-1]
    (steps,) = interquartile_means(
        [np.array([[budget if steps is None else steps] for steps in of_task], dtype=np.float64) for of_task in reached]
    )
    return VariantSummary(variant, num_runs, final, curve[-1], steps, num_reached, curve)


def _gap_curve(run: RunResult) -> list[float]:
    """Return the share of the gap that a run has closed at step 0 and at each mark."""
    return [gap_closed(rate, run.base["rate"]) for rate in (run.start, *run.rates)]


def _steps_to_gap_level(run: RunResult, marks: Sequence[int]) -> int | None:
    """Return the environment steps of a run's first evaluation at or above :data:`GAP_LEVEL`, or None."""
    return steps_to_reach(marks, _gap_curve(run)[1:], GAP_LEVEL - 1e-9)  # shares are rounded
