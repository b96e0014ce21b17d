# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the runs of a study will be: configurations and equal budgets, settled before anything is started.

A budget is whole in the iterations of every learner, so that all runs take and are evaluated at the same steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zprl.runs.session import TaskSession
from zprl.study.grid import Variant
from zprl.study.options import StudyOptions
from zprl.utils.errors import ZprlError
from zprl.utils.registry import resolve_class

if TYPE_CHECKING:
    from zprl.rl.runner_cfg import ZprlRunnerCfg

_SET_BY_THE_STUDY = ("agent.evaluation.interval", "agent.save_interval", "agent.max_iterations", "agent.seed")

_BASE_OPTIONS = ("env.", "physics=", "presets=", "agent.policy.", "agent.pretrain.", "agent.demonstrations.")
"""Beginnings of the overrides that a base policy depends on."""

_LEARNER_SETTINGS = (
    *("learning_rate", "critic_learning_rate", "num_learning_epochs", "clip_param", "entropy_coef"),
    *("updates_per_step", "batch_size", "init_alpha", "entropy_per_dim"),
    *("warmup_transitions", "warmup_std"),
)


@dataclass(frozen=True)
class Budget:
    """What every run of a study takes, in environment steps."""

    env_steps: int
    """Steps that a run takes in all."""
    spacing: int
    """Steps between two evaluations; the last one, at the end, may come earlier."""

    @property
    def marks(self) -> list[int]:
        """Environment steps at which every run is evaluated."""
        return [*range(self.spacing, self.env_steps, self.spacing), self.env_steps]


@dataclass(frozen=True)
class Schedule:
    """A budget in the iterations of one learner."""

    max_iterations: int
    """Iterations in all."""
    evaluation_interval: int
    """Iterations between evaluations."""
    save_interval: int
    """Iterations between checkpoints, which divide the above."""

    @property
    def num_segments(self) -> int:
        """Checkpoints that a run writes."""
        return math.ceil(self.max_iterations / self.save_interval)

    def overrides(self) -> list[str]:
        """Return the schedule as Hydra overrides; the iterations are given by ``--max_iterations``."""
        return [f"agent.evaluation.interval={self.evaluation_interval}", f"agent.save_interval={self.save_interval}"]


@dataclass(frozen=True)
class PlannedVariant:
    """A variant as its runs on a task will be configured."""

    variant: Variant
    session: TaskSession
    overrides: tuple[str, ...]
    """Hydra overrides of its runs: those of the whole study and its own."""
    steps_per_iteration: int
    """Environment steps that an iteration takes."""
    schedule: Schedule

    @property
    def task(self) -> str:
        """Task id."""
        return self.session.task

    @property
    def base_overrides(self) -> tuple[str, ...]:
        """Overrides that the variant's base policy depends on."""
        return tuple(text for text in self.overrides if text.startswith(_BASE_OPTIONS))

    def settings(self) -> dict[str, Any]:
        """Return the settings that a reader needs to judge the variant, fit for JSON."""
        cfg = self.session.agent_cfg
        parts = (
            ("agent.steering", cfg.steering, [name for name in vars(cfg.steering) if name != "class_type"]),
            ("agent.algorithm", cfg.algorithm, _LEARNER_SETTINGS),
            ("agent.actor", cfg.actor, ["std_range"]),
            ("agent.critic", cfg.critic, ["num_members"]),
            ("agent", cfg, ["step_discount"]),
            ("agent.policy", cfg.policy, ["execute_steps", "latent_dim"]),
        )
        settings: dict[str, Any] = {}
        for path, part, names in parts:
            present = {f"{path}.{name}": getattr(part, name) for name in names if hasattr(part, name)}
            settings |= {name: list(value) if isinstance(value, tuple) else value for name, value in present.items()}
        settings["environment steps per iteration"] = self.steps_per_iteration
        return settings


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
    divisors = [n for n in range(1, interval + 1) if interval % n == 0]
    closest = min(divisors, key=lambda n: abs(math.log(n / save_interval)))
    return Schedule(budget.env_steps // steps_per_iteration, interval, closest)


def plan_variants(
    tasks: Sequence[str], variants: Sequence[Variant], options: StudyOptions, overrides: Sequence[str]
) -> tuple[list[PlannedVariant], Budget]:
    """Settle the configurations of all variants on all tasks, and a budget that all of them can meet exactly.

    Overrides are of all runs.

    Raises:
        ZprlError: If a task or an option does not exist or is out of range for one of them, or the study sets it.
    """
    overrides = [f"agent.{text}" if text.startswith("policy.") else text for text in overrides]
    for option in (text.partition("=")[0] for text in overrides):
        if option in _SET_BY_THE_STUDY:
            raise ZprlError(f"a study sets {option} itself; use --budget, --evaluations and --seeds.")
    pairs = list(itertools.product(tasks, variants))
    sessions = []
    for task, v in pairs:
        given = (*overrides, *v.overrides)
        sessions.append(
            TaskSession(task, options.device, given, options.num_envs, method=v.method, algorithm=v.algorithm)
        )
    steps = [_steps_per_iteration(session.agent_cfg, session.env_cfg.scene.num_envs) for session in sessions]
    budget = common_budget(options.budget, options.evaluations, steps)
    planned = []
    for (_, v), session, per_iteration in zip(pairs, sessions, steps, strict=True):
        timetable = schedule(budget, per_iteration, session.agent_cfg.save_interval)
        planned.append(PlannedVariant(v, session, (*overrides, *v.overrides), per_iteration, timetable))
    return planned, budget


def _steps_per_iteration(cfg: ZprlRunnerCfg, num_envs: int) -> int:
    """Return the environment steps of an iteration; see :class:`zprl.rl.runner.SteeringRunner`."""
    closed_loop = resolve_class(cfg.steering.class_type, "steering").closed_loop  # type: ignore[attr-defined]
    return cfg.num_steps_per_env * num_envs * (1 if closed_loop else cfg.policy.execute_steps)
