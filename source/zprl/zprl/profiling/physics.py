# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How fast a task runs on different physics engines, side by side."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prettytable import PrettyTable

from zprl.envs.windows import with_windows
from zprl.policies import make_base_policy
from zprl.profiling.timing import timed_on_host
from zprl.rl.trainer import SteeringTrainer, bare_simulation_rate
from zprl.runs.base_policy import load_base
from zprl.runs.session import TaskSession
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.sim.isaaclab.task_env import IsaacLabEnv

_ITERATIONS = 5
"""Learning iterations per measurement."""


@dataclass
class EngineRates:
    """Measurements of one engine, one entry per round."""

    name: str
    """What was measured: a physics preset, or "mujoco:N" for N threads."""

    bare: list[float] = field(default_factory=list)
    """Environment steps per second of the environment alone, under random actions."""

    physics: list[float] = field(default_factory=list)
    """Time that the physics engine, with the conversions around it, takes per step of all worlds [s]."""

    training: list[float] = field(default_factory=list)
    """Environment steps per second of reinforcement learning, update included."""


def benchmark_physics(
    task: str,
    engines: Sequence[str],
    num_envs: int,
    rounds: int = 3,
    num_steps: int = 100,
    base: Path | None = None,
    report: Callable[[str], None] = print,
) -> list[EngineRates]:
    """Measure engines in turn, several rounds long, so that a machine's slow minutes fall on all of them.

    Args:
        task: Task id.
        engines: Physics presets, or "mujoco:N" for MuJoCo's CPU engine on N threads.
        num_envs: Number of worlds.
        rounds: Measurements of each engine.
        num_steps: Environment steps per measurement.
        base: Base policy with which reinforcement learning is measured as well, or None.
        report: Prints a line.

    Raises:
        ZprlError: If an engine, the task or the base policy cannot be used.
    """
    results = [EngineRates(name) for name in engines]
    for round_ in range(rounds):
        for result in results:
            session = _session(task, result.name, num_envs)
            with session.launched(), session.isaaclab_environment() as env:
                mean_physics_time = _mean_physics_time(env.unwrapped)
                result.bare.append(bare_simulation_rate(env, num_steps))
                result.physics.append(mean_physics_time())
                line = f"{result.bare[-1]:,.0f} env steps/s"
                if base is not None:
                    result.training.append(_training_rate(session, env, base))
                    line += f", training {result.training[-1]:,.0f}"
            report(f"round {round_ + 1} of {rounds}, {result.name}: {line}")
    return results


def benchmark_table(results: Sequence[EngineRates]) -> str:
    """Return medians and their ratio to the last engine's."""
    rival = results[-1]
    columns = ["engine", "bare [env steps/s]", "bare ratio", "physics [ms/step]"]
    columns += ["training [env steps/s]", "training ratio"] if rival.training else []
    table = PrettyTable(columns, align="r")
    table.align["engine"] = "l"
    for result in results:
        row = [result.name, *_rate_cells(result.bare, rival.bare), f"{1e3 * statistics.median(result.physics):.1f}"]
        table.add_row(row + (_rate_cells(result.training, rival.training) if rival.training else []))
    return table.get_string()


def _rate_cells(rates: Sequence[float], rivals: Sequence[float]) -> list[str]:
    median = statistics.median(rates)
    return [f"{median:,.0f}", f"{median / statistics.median(rivals):.2f}"]


def _session(task: str, engine: str, num_envs: int) -> TaskSession:
    name, _, threads = engine.partition(":")
    overrides = [f"physics={name}"]
    if threads:
        if name != "mujoco" or not threads.isdigit():
            raise ZprlError(f"'{engine}' is no engine to measure; write a physics preset, or mujoco:N for N threads.")
        overrides.append(f"env.sim.physics.solver_cfg.threads={threads}")
    return TaskSession(task, "cpu", overrides, num_envs=num_envs)


def _mean_physics_time(env: ManagerBasedRLEnv) -> Callable[[], float]:
    """Time the physics of an environment's steps from now on; return what tells its mean [s], without the first few."""
    durations: list[float] = []
    calls_per_step = 1 if env._physics_handles_decimation else env.cfg.decimation
    step = env.sim.step

    def timed(render: bool = True) -> None:
        durations.append(timed_on_host(lambda: step(render=render))[1])

    env.sim.step = timed  # type: ignore[method-assign]
    return lambda: calls_per_step * statistics.fmean(durations[4 * calls_per_step :])


def _training_rate(session: TaskSession, env: IsaacLabEnv, base: Path) -> float:
    """Return the environment steps per second of reinforcement learning, after an iteration to warm up."""
    policy = make_base_policy(*load_base(session, base, env.spec), session.device)
    settings = {"physics": session.physics, "device": session.device}
    with tempfile.TemporaryDirectory() as folder:
        trainer = SteeringTrainer(
            with_windows(env, policy.spec), policy, base, session.agent_cfg, Path(folder), settings
        )
        trainer.runner.learn_segment(1)
        before = trainer.learning_seconds
        trainer.runner.learn_segment(_ITERATIONS)
        seconds = trainer.learning_seconds - before
    return _ITERATIONS * trainer.runner.env_steps_per_iteration / seconds
