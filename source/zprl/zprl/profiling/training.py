# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the wall-clock of reinforcement learning goes, from the physics engine to the learner's gradient steps."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from zprl.envs.windows import with_windows
from zprl.policies import make_base_policy
from zprl.rl.runner import SteeringRunner
from zprl.rl.trainer import SteeringTrainer
from zprl.runs.base_policy import load_base
from zprl.runs.session import TaskSession
from zprl.sim.gymnasium import WorldsCfg
from zprl.sim.isaaclab.parts import simulator_parts
from zprl.utils.spans import Part, SpanRecorder, span_table


@dataclass
class TrainingProfile:
    """A profile of some iterations.

    Attributes:
        recorder: What was called when.
        iterations: Their number.
        seconds: Wall-clock of the iterations that were profiled [s].
        plain_seconds: Wall-clock of as many iterations without the profiler, just before and after; their mean [s].
        env_steps: Environment steps of these iterations, over all worlds.
    """

    recorder: SpanRecorder
    iterations: int
    seconds: float
    plain_seconds: float
    env_steps: int

    def report(self) -> str:
        """Return a table of where the time went, and two lines on the speed."""
        table = span_table(self.recorder.rows(), self.seconds, self.iterations, "iteration")
        rate, plain = self.env_steps / self.seconds, self.env_steps / self.plain_seconds
        return (
            f"{table}\n{rate:,.0f} environment steps/s while profiled, {plain:,.0f} just before and after "
            f"(the profiler takes {100 * (1 - rate / plain):.1f}%)"
        )


def training_parts(trainer: SteeringTrainer) -> list[Part]:
    """Return the parts of an iteration: of the learner, the policy and the environment."""
    runner, env = trainer.runner, trainer.env
    return [
        Part("learner acts", runner.alg, "act"),
        Part("chunk", env, "step"),
        Part("policy step", env.steering, "act"),
        Part("policy encodes", env.steering.policy, "encode"),
        Part("learner's view", env.steering, "observe"),
        Part("environment", env.env, "step"),
        Part("learner stores", runner.alg, "process_env_step"),
        Part("returns", runner.alg, "compute_returns"),
        Part("learner's update", runner.alg, "update"),
        Part("log of a step", runner.logger, "process_env_step"),
        Part("log", runner.logger, "log"),
        Part("restart of the worlds", env, "restart"),
        Part("end of the log", runner.logger, "stop_logging_writer"),
    ]


def profile_training(session: TaskSession, base: Path, iterations: int) -> TrainingProfile:
    """Learn a few iterations with and without a look at the clock in every part.

    A first segment of learning warms up what is made or compiled once, and with SAC fills the replay buffer until
    gradient steps begin.

    Args:
        session: Task and settings of the run, nothing of which is kept.
        base: The base policy to steer.
        iterations: Iterations to profile.

    Raises:
        ZprlError: If the task or the base policy cannot be used.
    """
    with session.launched(), session.training_environment() as env:
        simulator = [] if isinstance(session.env_cfg, WorldsCfg) else simulator_parts(cast(Any, env).unwrapped)
        policy = make_base_policy(*load_base(session, base, env.spec), session.device)
        settings = {"physics": session.physics, "device": session.device}
        with tempfile.TemporaryDirectory() as folder:
            trainer = SteeringTrainer(
                with_windows(env, policy.spec), policy, base, session.agent_cfg, Path(folder), settings
            )
            runner = trainer.runner
            runner.learn_segment(1)
            while getattr(runner.alg, "warming_up", False):
                runner.learn_segment(1)
            plain = [_timed(runner, iterations)]
            recorder = SpanRecorder()
            with recorder.watching([*training_parts(trainer), *simulator]):
                seconds = _timed(runner, iterations)
            plain.append(_timed(runner, iterations))
    env_steps = iterations * runner.env_steps_per_iteration
    return TrainingProfile(recorder, iterations, seconds, sum(plain) / 2, env_steps)


def _timed(runner: SteeringRunner, iterations: int) -> float:
    start = time.perf_counter()
    runner.learn_segment(iterations)
    return time.perf_counter() - start
