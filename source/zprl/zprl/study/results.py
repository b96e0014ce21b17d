# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the runs of a study found out, by variant, and statistics over their seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from zprl.evaluation.plots import LearningHistory
from zprl.study.grid import Variant
from zprl.study.manifest import StudyManifest
from zprl.utils.errors import ZprlError
from zprl.utils.files import load_json, reading
from zprl.utils.strict_json import NUMBER, require_form

LEVELS = (0.8, 0.9)
"""Success rates whose first evaluation the report names."""

_OF_LAST_EVALUATION = ("velocity", "acceleration", "jerk", "mean_steps")

_RESULT = {
    "seed": int,
    "method": str,
    "base": {"rate": NUMBER},
    "steered": {"rate": NUMBER, "episodes": int, **dict.fromkeys(_OF_LAST_EVALUATION, NUMBER | None)},
    "time_split": {},
    "history": {},
}
"""What a report takes from a run's result.json."""

_RATE, _UNBOUNDED = (0.0, 1.0), (-math.inf, math.inf)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, or an interquartile mean over tasks and seeds, with its 95% interval.

    The interval is None with fewer than two seeds.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


def mean_interval(values: Sequence[float], bounds: tuple[float, float] = _UNBOUNDED) -> Estimate:
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
    """Return the environment steps of the first evaluation at or above a level, or None; nothing is interpolated."""
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


@dataclass(frozen=True)
class RunResult:
    """What one run found out."""

    seed: int
    start: float
    """Success rate before learning: the base policy's, or 0 where there is none."""
    base: dict[str, Any]
    """Summary of its base policy; see :func:`zprl.evaluation.statistics.policy_summary`."""
    final: dict[str, Any]
    """Summary of its last evaluation."""
    rates: list[float]
    """Success rate at each of the study's marks."""
    minutes: list[float]
    """Minutes of reinforcement learning until each mark, evaluations left out [min]."""
    steps_to: list[int | None]
    """Environment steps to each of :data:`LEVELS`, None where it was not reached."""
    area: float
    """Mean success over the budget; see :func:`area_under_curve`."""
    time_split: dict[str, float]
    """Shares of the minutes, which sum to one."""


@dataclass(frozen=True)
class VariantResult:
    """What a variant's runs found out; ``dataclasses.asdict`` makes it JSON.

    Estimates are over the seeds that have a value, None where no seed has one.
    """

    variant: Variant
    base_success: Estimate | None
    """Success rate of the base policy, which the seeds share."""
    final_success: Estimate | None
    """Success rate of the last evaluation."""
    area_under_curve: Estimate | None
    """Mean success over the budget."""
    steps_to: dict[str, Estimate | None]
    """Environment steps to each of :data:`LEVELS`, by the level."""
    velocity: Estimate | None
    """Of the last evaluation's successful episodes [m/s]."""
    acceleration: Estimate | None
    """Likewise [m/s^2]."""
    jerk: Estimate | None
    """Likewise [m/s^3]."""
    joint_jerk: Estimate | None
    """Likewise of the joints [rad/s^3]; None where the task names none."""
    mean_steps: Estimate | None
    """Length of the last evaluation's successful episodes [control steps]."""
    minutes: Estimate | None
    """Minutes of reinforcement learning [min]."""
    time_split: dict[str, float]
    """Shares of the minutes, averaged over the seeds."""
    runs: list[RunResult]

    def curve(self) -> list[Estimate]:
        """Return the success rate at each mark."""
        return [mean_interval(column, _RATE) for column in zip(*(run.rates for run in self.runs), strict=True)]

    def curve_minutes(self) -> list[float]:
        """Return the minutes until each mark, averaged over the seeds [min]."""
        return [float(np.mean(column)) for column in zip(*(run.minutes for run in self.runs), strict=True)]


def _combined(variant: Variant, runs: list[RunResult]) -> VariantResult:
    shares = runs[0].time_split if runs else {}
    return VariantResult(
        variant=variant,
        base_success=_over_seeds([run.base["rate"] for run in runs], _RATE),
        final_success=_over_seeds([run.final["rate"] for run in runs], _RATE),
        area_under_curve=_over_seeds([run.area for run in runs], _RATE),
        steps_to={
            f"{level:g}": _over_seeds([run.steps_to[index] for run in runs], (0.0, math.inf))
            for index, level in enumerate(LEVELS)
        },
        **{name: _over_seeds([run.final[name] for run in runs]) for name in _OF_LAST_EVALUATION},
        joint_jerk=_over_seeds([run.final.get("joint_jerk") for run in runs]),
        minutes=_over_seeds([run.minutes[-1] for run in runs]),
        time_split={name: float(np.mean([run.time_split.get(name, 0.0) for run in runs])) for name in shares},
        runs=runs,
    )


def _over_seeds(values: Sequence[float | None], bounds: tuple[float, float] = _UNBOUNDED) -> Estimate | None:
    present = [value for value in values if value is not None]
    return mean_interval(present, bounds) if present else None


def load_results(manifest: StudyManifest, folder: Path) -> tuple[list[VariantResult], list[str]]:
    """Return the results of a study's runs by variant, in the study's order, and the names of runs that have none.

    Raises:
        ZprlError: If a result is of another budget.
    """
    variants = [record.variant for record in manifest.variants]
    found: dict[str, list[RunResult]] = {variant.name: [] for variant in variants}
    missing = []
    for run in manifest.runs:
        path = folder / run.name / "result.json"
        if path.is_file():
            found[run.variant.name].append(read_run(path, manifest.marks))
        else:
            missing.append(run.name)
    return [_combined(variant, found[variant.name]) for variant in variants], missing


def read_run(path: Path, marks: Sequence[int]) -> RunResult:
    """Read a run's result.json.

    Raises:
        ZprlError: If it is incomplete, or was evaluated at other steps than the marks.
    """
    result = load_json(path, "result of a run", _RESULT)
    with reading(path, "result of a run"):
        history = LearningHistory.of(result["history"])
        require_form(result["time_split"], dict.fromkeys(result["time_split"], NUMBER), "time_split")
    if history.evaluation_steps != list(marks):
        raise ZprlError(
            f"the run in {path.parent} was evaluated at {history.evaluation_steps} environment steps, not at "
            f"{list(marks)}; remove its folder to run it again."
        )
    counts = zip(history.evaluation_successes, history.evaluation_episodes, strict=True)
    rates = [successes / episodes for successes, episodes in counts]
    minutes = history.evaluation_minutes
    if len(minutes) < len(marks):  # begun before they were recorded: between the iterations
        minutes = np.interp(marks, [0, *history.steps], [0.0, *history.minutes]).tolist()
    start = 0.0 if result["method"] == "scratch" else result["base"]["rate"]  # which does not begin as the base policy
    return RunResult(
        seed=result["seed"],
        start=start,
        base=result["base"],
        final=result["steered"],
        rates=rates,
        minutes=minutes,
        steps_to=[steps_to_reach(marks, rates, level) for level in LEVELS],
        area=area_under_curve(marks, rates, start),
        time_split=result["time_split"],
    )
