# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training of a steered policy: segments of learning, each followed by a checkpoint and, at times, an evaluation."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from isaaclab.utils import class_to_dict

from zprl.envs import ChunkedVecEnv, EnvLayout
from zprl.evaluation.comparison import base_planner, compare, noise_shape, steered_planner
from zprl.evaluation.plots import LearningHistory, plot_learning_curve
from zprl.evaluation.rollout import EpisodeResults, Evaluator
from zprl.evaluation.statistics import success_rate
from zprl.policies import FlowPolicy, make_policy_step_on, policy_to_dict
from zprl.rl.checkpoint import FORMAT, SteeringCheckpoint
from zprl.rl.runner import SteeringRunner
from zprl.rl.runner_cfg import model_arguments
from zprl.steering import make_steering
from zprl.utils import processes
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump
from zprl.utils.progress import Progress

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.rl.runner_cfg import ZprlRunnerCfg


def bare_simulation_rate(env: ManagerBasedRLEnv, num_steps: int = 20) -> float:
    """Return the environment steps per second that the environment alone makes with random actions.

    Episodes start with random used-up times, as in training, so that worlds are reset at the usual rate.

    Args:
        env: The environment.
        num_steps: Steps to time, after a few to warm up.
    """
    env.reset(seed=0)
    generator = torch.Generator(device=env.device).manual_seed(0)
    shape = (env.num_envs, env.action_manager.total_action_dim)
    env.episode_length_buf = torch.randint(
        env.max_episode_length, (env.num_envs,), generator=generator, device=env.device
    )
    start = 0.0
    for step in range(num_steps + 4):
        if step == 4:
            _wait_for(env.device)
            start = time.perf_counter()
        env.step(2.0 * torch.rand(shape, generator=generator, device=env.device) - 1.0)
    _wait_for(env.device)
    return num_steps * env.num_envs / (time.perf_counter() - start)


def _wait_for(device: str | torch.device) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


class SteeringTrainer:
    """Trains a residual on a frozen base policy, alone or as one of several processes that are joined.

    All processes make the same calls. They share the worlds and the episodes of evaluations; the first one writes the
    files.

    Args:
        env: The environment, with this process's share of the worlds.
        layout: The task's layout.
        policy: The frozen base policy, on the environment's device.
        policy_meta: What was saved with it; holds ``latent_statistics``.
        cfg: The run's settings.
        run_dir: Folder of the run; it need not exist before :meth:`train`.
        settings: What a checkpoint says about the run beside its configuration.
    """

    def __init__(
        self,
        env: ManagerBasedRLEnv,
        layout: EnvLayout,
        policy: FlowPolicy,
        policy_meta: dict[str, Any],
        cfg: ZprlRunnerCfg,
        run_dir: Path,
        settings: dict[str, Any],
    ) -> None:
        self.cfg = cfg
        self.run_dir = run_dir
        self.layout = layout
        self.policy = policy
        self.step = make_policy_step_on(policy, env.device)
        self.steering = make_steering(cfg.steering, self.step, policy_meta)
        execute_steps = 1 if self.steering.closed_loop else policy.cfg.execute_steps
        self.env = ChunkedVecEnv(env, self.steering, execute_steps, cfg.step_discount)
        self.evaluator = Evaluator(env, layout, policy.cfg.execute_steps)
        self.evaluation_seconds = 0.0
        self.bare_rates: list[float] = []
        """See :func:`bare_simulation_rate`, of all processes at once; one before learning and one after each
        evaluation, since a machine's speed drifts."""
        self.base_results: EpisodeResults | None = None
        self._settings = {
            **settings,
            "num_envs": self.env.total_envs,
            "num_processes": processes.count(),
            "agent": class_to_dict(cfg),
            "backend": self.step.backend,
        }
        self._base_policy = policy_to_dict(policy, policy_meta)
        self.runner = SteeringRunner(self.env, self._runner_dict(), str(run_dir), cfg.device, cfg.seed)
        self.runner.extra_state = self._checkpoint_state

    def _runner_dict(self) -> dict[str, Any]:
        cfg = class_to_dict(self.cfg)
        chunk = self.env.execute_steps
        cfg["algorithm"]["gamma"] = self.cfg.step_discount**chunk
        if torch.device(self.env.device).type == "cuda":
            cfg["check_for_nan"] = False  # it waits for the GPU three times a step; ChunkedVecEnv.pop_counts checks
        env_steps = self.cfg.num_steps_per_env * self.env.total_envs * chunk
        if cfg["logger"] == "tensorboard":
            cfg["logger"] = {
                "class_name": "zprl.rl.logger:EnvStepWriter",
                "env_steps_per_iteration": env_steps,
                "execute_steps": chunk,
                "description": f"policy step on {self.step.backend}, physics {self._settings.get('physics')}, device "
                f"{cfg['device']}",
            }
        for model in ("actor", "critic"):
            cfg[model] = model_arguments(cfg[model]) | self.steering.model_arguments(model)
        return cfg

    def _checkpoint_state(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "layout": self.layout.to_dict(),
            "base_policy": self._base_policy,
            "settings": self._settings,
            "env_steps": self.runner.env_steps,
            "evaluation_seconds": self.evaluation_seconds,
            "timers": [self.env.simulation_time.seconds, self.env.planning_time.seconds],
        }

    @property
    def history(self) -> LearningHistory:
        """The learning curve so far."""
        return self.runner.logger.history

    @property
    def learning_seconds(self) -> float:
        """Wall-clock of reinforcement learning so far, without evaluations [s]."""
        return self.runner.logger.collection_seconds + self.runner.logger.update_seconds

    def resume(self, checkpoint: SteeringCheckpoint) -> None:
        """Continue from a checkpoint.

        Args:
            checkpoint: The checkpoint.

        Raises:
            ZprlError: If its run differs in what the counters or the networks depend on.
        """
        for name, ours in (
            ("num_envs", self._settings["num_envs"]),
            ("num_steps_per_env", self.cfg.num_steps_per_env),
        ):
            theirs = checkpoint.settings["agent"].get(name, checkpoint.settings.get(name))
            if theirs != ours:
                raise ZprlError(
                    f"the checkpoint {checkpoint.path} was made with {name}={theirs}, not {ours}; continue with the "
                    "same value."
                )
        try:
            self.runner.load_checkpoint(checkpoint.content)
        except (RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ZprlError(
                f"the checkpoint {checkpoint.path} does not fit the learner's configuration ({reason}); continue with "
                "the settings it was made with."
            ) from error
        infos = checkpoint.content["infos"]
        self.evaluation_seconds = infos["evaluation_seconds"]
        self.env.simulation_time.seconds, self.env.planning_time.seconds = infos["timers"]

    def evaluate_base(self) -> EpisodeResults:
        """Evaluate the frozen policy on the run's fixed initial states; done once."""
        if self.base_results is None:
            self.base_results = self._evaluate(base_planner(self.steering))
        return self.base_results

    def evaluate(self) -> EpisodeResults:
        """Evaluate the steered policy, deterministic, on the run's fixed initial states."""
        return self._evaluate(steered_planner(self.steering, self.runner.act_inference))

    def _evaluate(self, planner: Any) -> EpisodeResults:
        start = time.perf_counter()
        cfg = self.cfg.evaluation
        mine = processes.share_of(range(cfg.episodes))
        parts = processes.gather(self.evaluator.run(planner, mine, cfg.seed, noise_shape(self.policy)))
        results = EpisodeResults(self.layout.step_dt)
        for part in parts:
            results.extend(part)
        self.evaluation_seconds += time.perf_counter() - start
        return results

    def train(self) -> EpisodeResults:
        """Learn until ``max_iterations`` in total, checkpointing, evaluating and reporting on the way.

        Returns:
            The last evaluation.
        """
        runner, cfg = self.runner, self.cfg
        base = self.evaluate_base()
        steered: EpisodeResults | None = None
        self._measure_bare_rate()
        done = runner.current_learning_iteration
        with Progress(cfg.max_iterations - done, "reinforcement learning", "iteration") as progress:

            def note(iteration: int, rate: float | None, steps_per_second: float) -> None:
                success = "-" if rate is None else f"{100 * rate:.0f}%"
                progress.advance(
                    1,
                    f"success {success} while exploring, {(iteration + 1) * runner.env_steps_per_iteration:,} env "
                    f"steps, {steps_per_second:,.0f}/s",
                )

            runner.logger.on_iteration = note
            while runner.current_learning_iteration < cfg.max_iterations:
                start = runner.current_learning_iteration
                # Segments end at the same iterations whether or not the run was interrupted.
                end = min((start // cfg.save_interval + 1) * cfg.save_interval, cfg.max_iterations)
                runner.learn_segment(end - start)
                if end % cfg.evaluation.interval == 0 or end == cfg.max_iterations:
                    steered = self.evaluate()
                    self._record_evaluation(steered)
                    self._measure_bare_rate()
                    rates = success_rate(base.successes).rate, success_rate(steered.successes).rate
                    progress.message(
                        f"evaluation after {runner.env_steps:,} env steps: base {100 * rates[0]:.1f}%, "
                        f"steered {100 * rates[1]:.1f}% of {len(base.successes)} episodes"
                    )
                if processes.is_first():
                    runner.save_checkpoint(self.run_dir / f"model_{end}.pt")
                    plot_learning_curve(
                        self.run_dir / "learning_curve.png",
                        self.history,
                        success_rate(base.successes),
                        self.layout.task,
                    )
        return steered if steered is not None else self.evaluate()

    def _measure_bare_rate(self) -> None:
        # The evaluation before has just ended in all processes, so they simulate at the same time.
        self.bare_rates.append(sum(processes.gather(bare_simulation_rate(self.env.env))))

    def _record_evaluation(self, results: EpisodeResults) -> None:
        history = self.history
        history.evaluation_steps.append(self.runner.env_steps)
        history.evaluation_successes.append(sum(results.successes))
        history.evaluation_episodes.append(len(results.successes))
        history.evaluation_minutes.append(self.learning_seconds / 60.0)
        rate = success_rate(results.successes)
        writer = self.runner.logger.writer
        if writer is not None:
            iteration = self.runner.current_learning_iteration - 1
            writer.add_scalar("Evaluation/success_rate", rate.rate, iteration)
            writer.add_scalar(
                "Evaluation/base_success_rate", success_rate(self.evaluate_base().successes).rate, iteration
            )

    def time_split(self) -> dict[str, float]:
        """Return shares of the learning's wall-clock, which sum to one: simulation, policy, update, other.

        Of several processes it is the first one's, and waiting for the others is part of the update.
        """
        total = max(self.learning_seconds, 1e-9)
        update = self.runner.logger.update_seconds
        shares = {
            "simulation": self.env.simulation_time.seconds / total,
            "policy": self.env.planning_time.seconds / total,
            "update": update / total,
        }
        return {**shares, "other": max(0.0, 1.0 - sum(shares.values()))}

    def result(self, steered: EpisodeResults) -> dict[str, Any]:
        """Return everything the final table says, fit for JSON.

        Args:
            steered: The last evaluation.
        """
        rate = self.runner.env_steps / max(self.learning_seconds, 1e-9)
        return {
            "task": self.layout.task,
            **compare(self.evaluate_base(), steered),
            "environment_steps": self.runner.env_steps,
            "minutes": self.learning_seconds / 60.0,
            "evaluation_minutes": self.evaluation_seconds / 60.0,
            "backend": self.step.backend,
            "physics": self._settings.get("physics"),
            "device": str(self.env.device),
            "num_processes": processes.count(),
            "seed": self.cfg.seed,
            "initial_noise": self.policy.cfg.initial_noise,
            "method": self.cfg.method,
            "algo": self.cfg.algo,
            **self.steering.sizes(),
            "time_split": self.time_split(),
            "training_steps_per_second": rate,
            "bare_steps_per_second": statistics.median(self.bare_rates),
            "diverged_worlds": self.runner.logger.diverged_worlds,
            "history": asdict(self.history),
        }

    def write_result(self, result: dict[str, Any]) -> None:
        """Write ``result.json`` into the run's folder."""
        if processes.is_first():
            atomic_json_dump(result, self.run_dir / "result.json")
