# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the runs of a study will be: each variant's configuration and timetable, settled before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zprl.runs.session import TaskSession
from zprl.study.budget import Budget, Schedule, common_budget, schedule
from zprl.study.grid import Variant
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
class PlannedVariant:
    """A variant as its runs will be configured.

    Attributes:
        variant: The variant.
        session: Its configuration.
        overrides: Hydra overrides of its runs: those of the whole study and its own.
        steps_per_iteration: Environment steps that an iteration takes.
        schedule: Its timetable.
    """

    variant: Variant
    session: TaskSession
    overrides: tuple[str, ...]
    steps_per_iteration: int
    schedule: Schedule

    @property
    def base_overrides(self) -> tuple[str, ...]:
        """Overrides that the variant's base policy depends on."""
        return tuple(text for text in self.overrides if text.startswith(_BASE_OPTIONS))

    def settings(self) -> dict[str, Any]:
        """Return the settings that a reader needs to judge the variant, fit for JSON."""
        cfg = self.session.agent_cfg
        steering = {name: value for name, value in vars(cfg.steering).items() if name != "class_type"}
        learner = {name: getattr(cfg.algorithm, name) for name in _LEARNER_SETTINGS if hasattr(cfg.algorithm, name)}
        models = (("actor", cfg.actor, "std_range"), ("critic", cfg.critic, "num_members"))
        return {
            **{f"agent.steering.{name}": value for name, value in steering.items()},
            **{f"agent.algorithm.{name}": value for name, value in learner.items()},
            **{
                f"agent.{part}.{name}": _plain(getattr(model, name))
                for part, model, name in models
                if hasattr(model, name)
            },
            "agent.step_discount": cfg.step_discount,
            "agent.policy.execute_steps": cfg.policy.execute_steps,
            "agent.policy.latent_dim": cfg.policy.latent_dim,
            "environment steps per iteration": self.steps_per_iteration,
        }


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value


def plan_variants(
    variants: Sequence[Variant],
    task: str,
    device: str,
    overrides: Sequence[str],
    num_envs: int | None,
    env_steps: int,
    evaluations: int,
) -> tuple[list[PlannedVariant], Budget]:
    """Settle the variants' configurations and a budget that all of them can meet exactly.

    Args:
        variants: The variants.
        task: Task id.
        device: "cpu" or "cuda[:N]".
        overrides: Hydra overrides of all runs.
        num_envs: Number of worlds, or None for the task's own.
        env_steps: Environment steps that were asked for.
        evaluations: Evaluations that were asked for.

    Raises:
        ZprlError: If an option does not exist or is out of range for one of the variants, or the study sets it.
    """
    overrides = [f"agent.{text}" if text.startswith("policy.") else text for text in overrides]
    for option in (text.partition("=")[0] for text in overrides):
        if option in _SET_BY_THE_STUDY:
            raise ZprlError(f"a study sets {option} itself; use --budget, --evaluations and --seeds.")
    sessions = [
        TaskSession(task, device, (*overrides, *v.overrides), num_envs, method=v.method, algorithm=v.algorithm)
        for v in variants
    ]
    steps = [_steps_per_iteration(session.agent_cfg, session.env_cfg.scene.num_envs) for session in sessions]
    budget = common_budget(env_steps, evaluations, steps)
    planned = [
        PlannedVariant(
            variant=variant,
            session=session,
            overrides=(*overrides, *variant.overrides),
            steps_per_iteration=per_iteration,
            schedule=schedule(budget, per_iteration, session.agent_cfg.save_interval),
        )
        for variant, session, per_iteration in zip(variants, sessions, steps, strict=True)
    ]
    return planned, budget


def _steps_per_iteration(cfg: ZprlRunnerCfg, num_envs: int) -> int:
    """Return the environment steps of an iteration; see :class:`zprl.rl.runner.SteeringRunner`."""
    closed_loop = resolve_class(cfg.steering.class_type, "steering").closed_loop  # type: ignore[attr-defined]
    return cfg.num_steps_per_env * num_envs * (1 if closed_loop else cfg.policy.execute_steps)
