# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Equal budgets: how many iterations a run learns, so that all runs take and are evaluated at the same steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What every run of a study takes, in environment steps.

    Attributes:
        env_steps: Steps that a run takes in all.
        spacing: Steps between two evaluations; the last one, at the end, may come earlier.
    """

    env_steps: int
    spacing: int

    @property
    def marks(self) -> list[int]:
        """Environment steps at which every run is evaluated."""
        return [*range(self.spacing, self.env_steps, self.spacing), self.env_steps]


@dataclass(frozen=True)
class Schedule:
    """A budget in the iterations of one learner.

    Attributes:
        max_iterations: Iterations in all.
        evaluation_interval: Iterations between evaluations.
        save_interval: Iterations between checkpoints, which divide the above.
    """

    max_iterations: int
    evaluation_interval: int
    save_interval: int

    @property
    def num_segments(self) -> int:
        """Checkpoints that a run writes."""
        return math.ceil(self.max_iterations / self.save_interval)

    def overrides(self) -> list[str]:
        """Return the schedule as Hydra overrides; the iterations are given by ``--max_iterations``."""
        return [
            f"agent.evaluation.interval={self.evaluation_interval}",
            f"agent.save_interval={self.save_interval}",
        ]


def common_budget(env_steps: int, evaluations: int, steps_per_iteration: Iterable[int]) -> Budget:
    """Return the smallest budget of at least ``env_steps`` that all learners can meet exactly.

    Args:
        env_steps: Steps that were asked for.
        evaluations: Evaluations that were asked for.
        steps_per_iteration: Environment steps that an iteration takes, of each variant.
    """
    unit = math.lcm(*steps_per_iteration)
    units = max(1, math.ceil(env_steps / unit))
    return Budget(units * unit, max(1, round(units / evaluations)) * unit)


def schedule(budget: Budget, steps_per_iteration: int, save_interval: int) -> Schedule:
    """Return a budget in iterations.

    Args:
        budget: The budget, a multiple of ``steps_per_iteration``.
        steps_per_iteration: Environment steps that an iteration takes.
        save_interval: Iterations between checkpoints that the learner would choose; the divisor of the evaluation
            interval that is closest to it is taken, since learning starts new episodes at every checkpoint.
    """
    interval = budget.spacing // steps_per_iteration
    divisors: Sequence[int] = [n for n in range(1, interval + 1) if interval % n == 0]
    closest = min(divisors, key=lambda n: abs(math.log(n / save_interval)))
    return Schedule(budget.env_steps // steps_per_iteration, interval, closest)
