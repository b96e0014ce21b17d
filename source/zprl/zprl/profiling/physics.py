# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How fast a task runs on different physics engines, side by side."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prettytable import PrettyTable

from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.runs.session import TaskSession
    from zprl.sim.isaaclab.task_env import IsaacLabEnv


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
    num_iterations: int = 5,
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
        num_iterations: Learning iterations per measurement.
        report: Prints a line.

    Raises:
        ZprlError: If an engine, the task or the base policy cannot be used.
    """
    from zprl.rl.trainer import bare_simulation_rate

    results = [EngineRates(name) for name in engines]
    for round_ in range(rounds):
        for result in results:
            session = _session(task, result.name, num_envs)
            with session.launched(), session.environment() as env:
                physics = _Stopwatch(env.unwrapped)
                result.bare.append(bare_simulation_rate(env, num_steps))
                result.physics.append(physics.mean())
                line = f"{result.bare[-1]:,.0f} env steps/s"
                if base is not None:
                    result.training.append(_training_rate(session, env, base, num_iterations))
                    line += f", training {result.training[-1]:,.0f}"
            report(f"round {round_ + 1} of {rounds}, {result.name}: {line}")
    return results


def benchmark_table(results: Sequence[EngineRates]) -> str:
    """Return medians and their ratio to the last engine's."""
    training = bool(results[-1].training)
    columns = ["engine", "bare [env steps/s]", "bare ratio", "physics [ms/step]"]
    table = PrettyTable([*columns, "training [env steps/s]", "training ratio"] if training else columns, align="r")
    table.align["engine"] = "l"
    rival = results[-1]
    for result in results:
        bare = statistics.median(result.bare)
        row = [result.name, f"{bare:,.0f}", f"{bare / statistics.median(rival.bare):.2f}"]
        row.append(f"{1e3 * statistics.median(result.physics):.1f}")
        if training:
            rate = statistics.median(result.training)
            row += [f"{rate:,.0f}", f"{rate / statistics.median(rival.training):.2f}"]
        table.add_row(row)
    return table.get_string()


def _session(task: str, engine: str, num_envs: int) -> TaskSession:
    from zprl.runs.session import TaskSession

    name, _, threads = engine.partition(":")
    overrides = [f"physics={name}"]
    if threads:
        if name != "mujoco" or not threads.isdigit():
            raise ZprlError(f"'{engine}' is no engine to measure; write a physics preset, or mujoco:N for N threads.")
        overrides.append(f"env.sim.physics.solver_cfg.threads={threads}")
    return TaskSession(task, "cpu", overrides, num_envs=num_envs)


class _Stopwatch:
    """Times the physics of an environment's steps, without the first few."""

    def __init__(self, env: ManagerBasedRLEnv) -> None:
        self._seconds: list[float] = []
        self._calls_per_step = 1 if env._physics_handles_decimation else env.cfg.decimation
        step = env.sim.step

        def timed(render: bool = True) -> None:
            start = time.perf_counter()
            step(render=render)
            self._seconds.append(time.perf_counter() - start)

        env.sim.step = timed  # type: ignore[method-assign]

    def mean(self) -> float:
        """Return the mean time of a step [s]."""
        seconds = self._seconds[4 * self._calls_per_step :]
        return self._calls_per_step * sum(seconds) / len(seconds)


def _training_rate(session: TaskSession, env: IsaacLabEnv, base: Path, num_iterations: int) -> float:
    """Return the environment steps per second of reinforcement learning, after an iteration to warm up."""
    from zprl.policies import make_base_policy
    from zprl.rl.trainer import SteeringTrainer
    from zprl.runs.base_policy import load_base

    policy = make_base_policy(*load_base(session, base, env.spec), session.device)
    settings = {"physics": session.physics, "device": session.device}
    with tempfile.TemporaryDirectory() as folder:
        trainer = SteeringTrainer(env, policy, base, session.agent_cfg, Path(folder), settings)
        trainer.runner.learn_segment(1)
        before = trainer.learning_seconds
        trainer.runner.learn_segment(num_iterations)
        seconds = trainer.learning_seconds - before
    return num_iterations * trainer.runner.env_steps_per_iteration / seconds
