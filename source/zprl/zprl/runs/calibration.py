# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How much a task's expert has to err for the base policy to succeed in a given share of episodes.

One number scales all of an expert's noise, ``noise_scale``. Demonstrations are cheap, and a base policy ends near what
they show, so the search begins where the demonstrations succeed in the wanted share and goes on with base policies. Its
episodes are others than those of any evaluation that is reported.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.evaluation.statistics import SuccessRate, success_rate
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.runs.session import TaskSession

LARGEST_SCALE = 8.0
"""Largest scale that is tried."""

MOST_DEMONSTRATIONS = 8
"""Most scales that demonstrations are collected with before the first base policy is trained."""


@dataclass(frozen=True)
class Trial:
    """A scale that was tried, and what succeeded with it."""

    scale: float
    success: SuccessRate

    def describe(self) -> str:
        """Return the success with its interval, in percent."""
        found = self.success
        return (
            f"{100 * found.rate:.1f}% [{100 * found.low:.1f}, {100 * found.high:.1f}] at noise_scale {self.scale:.3f}"
        )


def bisect_scale(
    measure: Callable[[float], SuccessRate],
    target: float,
    tolerance: float,
    start: float,
    trials: int,
    growth: float = 2.0,
) -> list[Trial]:
    """Search the scale with which a share of episodes succeeds that falls as the scale grows.

    Args:
        measure: Returns how often episodes succeed with a scale.
        target: The wanted share.
        tolerance: Largest distance from it that will do.
        start: Scale to try first, positive.
        trials: Most scales to try.
        growth: By what to multiply the scale until one is too much.

    Returns:
        All trials in order; the last one is within the tolerance, or none is.
    """
    low, high = 0.0, LARGEST_SCALE  # too often at low, too seldom at high, as far as that is known
    high_tried = False
    scale, found = start, []
    while len(found) < trials:
        found.append(Trial(scale, measure(scale)))
        miss = found[-1].success.rate - target
        if abs(miss) <= tolerance:
            break
        if miss > 0:
            if scale >= LARGEST_SCALE:
                break
            low = scale
        else:
            if scale <= 0.0:
                break
            high, high_tried = scale, True
        # Where nothing is known to be too much yet, more; where not even little is too little, none at all.
        if not high_tried:
            scale = min(growth * scale, LARGEST_SCALE)
        elif low == 0.0 and len(found) >= 3 and all(trial.success.rate < target for trial in found):
            scale = 0.0
        else:
            scale = (low + high) / 2
    return found


def closest(trials: list[Trial], target: float) -> Trial:
    """Return the trial whose success is nearest to a share."""
    return min(trials, key=lambda trial: abs(trial.success.rate - target))


def calibrate(
    session: TaskSession, target: float, tolerance: float = 0.05, trials: int = 5, episodes: int = 200
) -> Trial:
    """Search the scale of the expert's noise, inside :meth:`TaskSession.launched`, and say what is found on the way.

    Args:
        session: The task, with the settings of demonstrations and of pre-training.
        target: Share of episodes in which the base policy is to succeed, through its bottleneck.
        tolerance: Largest distance from it that will do.
        trials: Most base policies to train.
        episodes: Episodes by which demonstrations and base policies are judged.

    Returns:
        The scale, with the base policy's success.

    Raises:
        ZprlError: If the task has no expert, the expert's noise cannot be scaled, or no scale gives that share.
    """
    with tempfile.TemporaryDirectory(prefix="zprl-calibration-") as folder:

        def demonstrate(scale: float) -> SuccessRate:
            found = _collect(session, scale, episodes, Path(folder) / "demonstrations.hdf5")
            print(f"demonstrations: {Trial(scale, found).describe()}")
            return found

        def train(scale: float) -> SuccessRate:
            found = _train_base(session, scale, episodes, Path(folder))
            print(f"base policy: {Trial(scale, found).describe()}")
            return found

        start = noisy_expert(session.task).noise_scale
        first = closest(bisect_scale(demonstrate, target, tolerance, start, MOST_DEMONSTRATIONS), target)
        # A base policy is not far from its demonstrations, and each one takes a minute.
        found = bisect_scale(train, target, tolerance, max(first.scale, 0.05), trials, growth=1.3)
    best = closest(found, target)
    if abs(best.success.rate - target) > tolerance:
        raise ZprlError(
            f"no scale of the expert's noise of {len(found)} that were tried makes the base policy of {session.task} "
            f"succeed in {100 * target:.0f}%, within {100 * tolerance:.0f} points; the closest is {best.describe()}."
        )
    return best


def noisy_expert(task: str, scale: float | None = None) -> Any:
    """Return the configuration of a task's expert.

    Args:
        task: Task id.
        scale: What its ``noise_scale`` becomes, or None to leave it.

    Raises:
        ZprlError: If the task has no expert, or one without ``noise_scale``.
    """
    from zprl.tasks.experts import expert_cfg_of

    cfg = expert_cfg_of(task)
    if not hasattr(cfg, "noise_scale"):
        raise ZprlError(
            f"the expert of task {task} has no noise_scale; give its configuration one, as NoisyExpertCfg has it."
        )
    if scale is not None:
        cfg.noise_scale = scale
    return cfg


def _collect(session: TaskSession, scale: float, num_demos: int, path: Path) -> SuccessRate:
    from zprl.runs.base_policy import collect

    path.unlink(missing_ok=True)
    successes = collect(session, path, noisy_expert(session.task, scale), num_demos, kept=False)["successes"]
    return success_rate([True] * successes + [False] * (num_demos - successes))


def _train_base(session: TaskSession, scale: float, episodes: int, folder: Path) -> SuccessRate:
    from zprl.runs.base_policy import load_base, pretrain_in_simulation, trial_success

    dataset, path = folder / "demonstrations.hdf5", folder / "base_policy.safetensors"
    _collect(session, scale, session.agent_cfg.demonstrations.num_demos, dataset)
    pretrain_in_simulation(session, dataset, path, kept=False)
    with session.environment() as env:
        return trial_success(env, *load_base(session, path, env.spec), session.agent_cfg.evaluation, episodes)
