# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the runs of a study found out, by variant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zprl.evaluation.plots import LearningHistory
from zprl.study.grid import Variant
from zprl.study.manifest import StudyManifest
from zprl.study.statistics import Estimate, area_under_curve, mean_interval, steps_to_reach
from zprl.utils.errors import ZprlError
from zprl.utils.files import load_json

LEVELS = (0.8, 0.9)
"""Success rates whose first evaluation the report names."""

_WITHOUT_BASE = "scratch"
"""The method that does not begin as the base policy."""

_SMOOTHNESS = ("velocity", "acceleration", "jerk")


@dataclass(frozen=True)
class RunResult:
    """What one run found out.

    Attributes:
        seed: The run's seed.
        start: Success rate before learning: the base policy's, or 0 where there is none.
        base: Summary of its base policy; see :func:`zprl.evaluation.statistics.policy_summary`.
        final: Summary of its last evaluation.
        rates: Success rate at each of the study's marks.
        minutes: Minutes of reinforcement learning until each mark, evaluations left out [min].
        steps_to: Environment steps to each of :data:`LEVELS`, None where it was not reached.
        area: Mean success over the budget; see :func:`zprl.study.statistics.area_under_curve`.
        time_split: Shares of the minutes, which sum to one.
    """

    seed: int
    start: float
    base: dict[str, Any]
    final: dict[str, Any]
    rates: list[float]
    minutes: list[float]
    steps_to: list[int | None]
    area: float
    time_split: dict[str, float]


@dataclass(frozen=True)
class VariantResult:
    """What a variant's runs found out."""

    variant: Variant
    runs: list[RunResult]

    def over_seeds(self, values: Sequence[float | None], bounds: tuple[float, float] | None = None) -> Estimate | None:
        """Return the mean of the values that there are, with its interval, or None if there is none."""
        present = [value for value in values if value is not None]
        if not present:
            return None
        return mean_interval(present) if bounds is None else mean_interval(present, bounds)

    @property
    def base_success(self) -> Estimate | None:
        """Success rate of the base policy, which the seeds share."""
        return self.over_seeds([run.base["rate"] for run in self.runs], (0.0, 1.0))

    @property
    def start(self) -> float:
        """Success rate before learning."""
        return float(np.mean([run.start for run in self.runs]))

    @property
    def final_success(self) -> Estimate | None:
        """Success rate of the last evaluation."""
        return self.over_seeds([run.final["rate"] for run in self.runs], (0.0, 1.0))

    @property
    def area(self) -> Estimate | None:
        """Mean success over the budget."""
        return self.over_seeds([run.area for run in self.runs], (0.0, 1.0))

    @property
    def minutes(self) -> Estimate | None:
        """Minutes of reinforcement learning [min]."""
        return self.over_seeds([run.minutes[-1] for run in self.runs])

    def final_mean(self, name: str) -> Estimate | None:
        """Return the mean of an entry of the last evaluations, such as ``jerk``."""
        return self.over_seeds([run.final[name] for run in self.runs])

    def steps_to(self, index: int) -> Estimate | None:
        """Return the environment steps to a level, over the seeds that reached it.

        Args:
            index: Place in :data:`LEVELS`.
        """
        return self.over_seeds([run.steps_to[index] for run in self.runs], (0.0, math.inf))

    def time_split(self) -> dict[str, float]:
        """Return the shares of the minutes, averaged over the seeds."""
        names = self.runs[0].time_split if self.runs else {}
        return {name: float(np.mean([run.time_split[name] for run in self.runs])) for name in names}

    def curve(self) -> list[Estimate]:
        """Return the success rate at each mark."""
        columns = zip(*(run.rates for run in self.runs), strict=True)
        return [mean_interval(column, (0.0, 1.0)) for column in columns]

    def curve_minutes(self) -> list[float]:
        """Return the minutes until each mark, averaged over the seeds [min]."""
        return [float(np.mean(column)) for column in zip(*(run.minutes for run in self.runs), strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""

        def plain(estimate: Estimate | None) -> dict[str, Any] | None:
            return None if estimate is None else asdict(estimate)

        return {
            "variant": asdict(self.variant),
            "base_success": plain(self.base_success),
            "final_success": plain(self.final_success),
            "area_under_curve": plain(self.area),
            "steps_to": {f"{level:g}": plain(self.steps_to(index)) for index, level in enumerate(LEVELS)},
            **{name: plain(self.final_mean(name)) for name in (*_SMOOTHNESS, "mean_steps")},
            "minutes": plain(self.minutes),
            "time_split": self.time_split(),
            "runs": [asdict(run) for run in self.runs],
        }


def load_results(manifest: StudyManifest, folder: Path) -> tuple[list[VariantResult], list[str]]:
    """Read the results of a study's finished runs.

    Args:
        manifest: The study.
        folder: The study's folder.

    Returns:
        The results by variant, in the study's order, and the names of the runs that have none.

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
    return [VariantResult(variant, found[variant.name]) for variant in variants], missing


def read_run(path: Path, marks: Sequence[int]) -> RunResult:
    """Read a run's result.

    Args:
        path: Its result.json.
        marks: Environment steps at which it must have been evaluated.

    Raises:
        ZprlError: If it was evaluated at other steps.
    """
    result = load_json(path, "result of a run")
    history = LearningHistory(**result["history"])
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
    start = 0.0 if result["method"] == _WITHOUT_BASE else result["base"]["rate"]
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
