# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training of a steered policy: segments of learning, each followed by a checkpoint and, at times, an evaluation."""

from __future__ import annotations

import contextlib
import copy
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zprl.envs import TaskEnv
from zprl.envs.chunked_env import ChunkedVecEnv
from zprl.evaluation.plots import LearningHistory, plot_learning_curves
from zprl.evaluation.rollout import EpisodeResults, Evaluator, compare
from zprl.evaluation.statistics import success_rate
from zprl.policies.base import BasePolicy
from zprl.rl.actor import model_arguments, row_by_row
from zprl.rl.checkpoint import SteeringCheckpoint, base_reference, store_base
from zprl.rl.checkpoint_files import checkpoint_path
from zprl.rl.methods import DEFAULT_ALGORITHM
from zprl.rl.runner import SteeringRunner
from zprl.spec import TaskSpec
from zprl.steering import ChunkPolicy, base_chunks, make_steering, steered_chunks
from zprl.utils import processes
from zprl.utils.configclass import class_to_dict
from zprl.utils.errors import Terminated, ZprlError, sigterm_noted
from zprl.utils.files import atomic_json_dump
from zprl.utils.progress import Progress
from zprl.utils.registry import check_settings

if TYPE_CHECKING:
    from zprl.rl.runner_cfg import ZprlRunnerCfg


def bare_simulation_rate(env: TaskEnv, num_steps: int = 20) -> float:
    """Return the environment steps per second that the environment alone makes with random actions.

    Episodes start with random used-up times where they can, as in training, so that worlds are reset at the usual rate.

    Args:
        env: The environment.
        num_steps: Steps to time, after a few to warm up.
    """
    env.reset(0)
    generator = torch.Generator(device=env.device).manual_seed(0)
    if env.staggers:
        env.elapsed = torch.randint(env.max_episode_length, (env.num_envs,), generator=generator, device=env.device)
    start = 0.0
    for step in range(num_steps + 4):
        if step == 4:
            _wait_for(env.device)
            start = time.perf_counter()
        env.step(env.spec.random_actions(env.num_envs, generator))
    _wait_for(env.device)
    return num_steps * env.num_envs / (time.perf_counter() - start)


def _wait_for(device: str | torch.device) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def with_critic_groups(cfg: ZprlRunnerCfg, spec: TaskSpec) -> ZprlRunnerCfg:
    """Return a run's settings in which ``critic_sees`` is decided and ``obs_groups`` say the same.

    Args:
        cfg: The settings; they stay as they are.
        spec: What the task observes.

    Raises:
        ZprlError: If the critic is to see privileged observations, and the task has none.
    """
    cfg, actor = copy.copy(cfg), cfg.obs_groups["actor"]
    groups = [group.name for group in spec.privileged if group.name not in actor]
    if cfg.critic_sees == "privileged" and not groups:
        raise ZprlError(
            f"agent.critic_sees=privileged asks for observations that only a simulator knows, and task {spec.task} has "
            "none that the actor does not see; choose policy."
        )
    if cfg.critic_sees == "auto":
        cfg.critic_sees = "privileged" if groups else "policy"
    others = [name for name in cfg.obs_groups.get("critic", actor) if name not in groups]
    cfg.obs_groups = {"actor": actor, "critic": others + (groups if cfg.critic_sees == "privileged" else [])}
    return cfg


class SteeringTrainer:
    """Trains what steers a frozen base policy, alone or as one of several processes that are joined.

    All processes make the same calls. They share the worlds and the episodes of evaluations; the first one writes the
    files.

    Args:
        env: The environment, with this process's share of the worlds.
        base: The frozen base policy, on the environment's device.
        base_file: File that it was loaded from, of which the run keeps a copy.
        cfg: The run's settings.
        run_dir: Folder of the run; it need not exist before :meth:`train`.
        settings: What a checkpoint says about the run beside its configuration, such as ``physics``.
        start: When the work on the run began, by ``time.perf_counter`` [s], or None for now.

    Raises:
        ZprlError: If the base policy lacks what the method steers by, or the environment what the learner is to see.
    """

    def __init__(
        self,
        env: TaskEnv,
        base: BasePolicy,
        base_file: Path,
        cfg: ZprlRunnerCfg,
        run_dir: Path,
        settings: dict[str, Any] | None = None,
        start: float | None = None,
    ) -> None:
        self._start = time.perf_counter() if start is None else start
        self._seconds_before = 0.0
        self.spec = env.spec
        self.cfg = cfg = with_critic_groups(cfg, env.spec)
        self.run_dir = run_dir
        self.base = base
        self.steering = make_steering(cfg.steering, base)
        groups = self._learner_groups()
        # rsl_rl's PPO bootstraps without final observations, and encoding them takes time.
        off_policy = cfg.algo != DEFAULT_ALGORITHM
        self.env = ChunkedVecEnv(env, self.steering, groups, cfg.step_discount, cfg.seed, off_policy)
        self.evaluator = Evaluator(env, base.execute_steps)
        self.evaluation_seconds = 0.0
        self.bare_rates: list[float] = []
        """See :func:`bare_simulation_rate`, of all processes at once; one before learning and one after each
        evaluation, since a machine's speed drifts."""
        self.base_results: EpisodeResults | None = None
        self._settings = {
            **(settings or {}),
            "num_envs": self.env.total_envs,
            "num_processes": processes.count(),
            "agent": class_to_dict(cfg),
            "backend": base.backend,
            "inference": dict(base.inference_settings),
        }
        self._base_file, self._base_reference = base_file, base_reference(base_file)
        self.runner = SteeringRunner(self.env, self._runner_dict(), str(run_dir), cfg.device, cfg.seed)

    def _learner_groups(self) -> list[str]:
        """Return the observation groups and the parts of the plan among what actor and critic see.

        The rest must be features of the steering.
        """
        device = self.base.action_low.device
        zeros = {name: value.to(device) for name, value in self.spec.zeros().items()}
        features = self.steering.features(self.steering.policy.encode(zeros))
        self.steering.policy.begin_episodes()
        names = dict.fromkeys(name for group in self.cfg.obs_groups.values() for name in group if name not in features)
        shows = self.steering.shows
        return [name if shows(name) else self.spec.group(name, who="the learner").name for name in names]

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
                "description": f"policy step on {self.base.backend}, physics {self._settings.get('physics')}, device "
                f"{cfg['device']}",
            }
        for model in ("actor", "critic"):
            cfg[model] = model_arguments(cfg[model]) | self.steering.model_arguments(model)
        cfg["init_at_random_ep_len"] = cfg["init_at_random_ep_len"] and self.env.env.staggers
        check_settings(cfg)  # rsl_rl imports whatever they name
        return cfg

    def _checkpoint_infos(self) -> dict[str, Any]:
        return {
            "spec": self.spec.to_dict(),
            "base": self._base_reference,
            "settings": self._settings,
            "env_steps": self.runner.env_steps,
            "evaluation_seconds": self.evaluation_seconds,
            "total_seconds": self.total_seconds,
            "timers": [self.env.simulation_time.seconds, self.env.planning_time.seconds],
        }

    @property
    def history(self) -> LearningHistory:
        """The learning curve so far."""
        return self.runner.logger.history

    @property
    def learner_backend(self) -> str:
        """What takes the gradient steps, "native" or "torch"."""
        return "torch" if self.runner.alg.native is None else "native"  # type: ignore[union-attr]

    @property
    def learning_seconds(self) -> float:
        """Wall-clock of reinforcement learning so far, without evaluations [s]."""
        return self.runner.logger.collection_seconds + self.runner.logger.update_seconds

    @property
    def total_seconds(self) -> float:
        """Wall-clock of everything so far, in all processes that continued the run up to its last checkpoint [s]."""
        return self._seconds_before + time.perf_counter() - self._start

    def resume(self, checkpoint: SteeringCheckpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            ZprlError: If its run differs in what the counters or the networks depend on.
        """
        ours_by_name = {"num_envs": self.env.total_envs, "num_steps_per_env": self.cfg.num_steps_per_env}
        for name, ours in ours_by_name.items():
            theirs = checkpoint.settings["agent"].get(name, checkpoint.settings.get(name))
            if theirs != ours:
                raise ZprlError(
                    f"the checkpoint {checkpoint.path} was made with {name}={theirs}, not {ours}; continue with the "
                    "same value."
                )
        for model, ours in self.cfg.obs_groups.items():
            groups = checkpoint.settings["agent"]["obs_groups"]
            theirs = groups.get(model, groups["actor"])
            if list(theirs) != list(ours):
                raise ZprlError(
                    f"the {model} of the checkpoint {checkpoint.path} sees {', '.join(theirs)}, and this one would see "
                    f"{', '.join(ours)}; continue with the agent.critic_sees and agent.obs_groups of its run."
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
        # Of a checkpoint that does not say it, what is known.
        self._seconds_before = infos.get("total_seconds", self.learning_seconds + self.evaluation_seconds)
        self.env.simulation_time.seconds, self.env.planning_time.seconds = infos["timers"]

    def evaluate_base(self) -> EpisodeResults:
        """Evaluate the frozen policy on the run's fixed initial states; done once."""
        if self.base_results is None:
            self.base_results = self._evaluate(base_chunks(self.steering))
        return self.base_results

    def evaluate(self) -> EpisodeResults:
        """Evaluate the steered policy, deterministic, on the run's fixed initial states."""
        act = row_by_row(self.runner.alg.get_policy(), self.cfg.device)
        return self._evaluate(steered_chunks(self.steering, act, self.cfg.obs_groups["actor"]))

    def _evaluate(self, planner: ChunkPolicy) -> EpisodeResults:
        start = time.perf_counter()
        cfg = self.cfg.evaluation
        mine = processes.share_of(range(cfg.episodes))
        parts = processes.gather(self.evaluator.run(planner, mine, cfg.seed, self.base.noise_shape))
        results = EpisodeResults(self.spec.step_dt)
        for part in parts:
            results.extend(part)
        self.evaluation_seconds += time.perf_counter() - start
        return results

    def train(self) -> EpisodeResults:
        """Learn until ``max_iterations`` in total, checkpointing, evaluating and reporting on the way.

        SIGTERM, by which schedulers announce the end, lets a single process learn up to its next checkpoint; once more
        ends it at once.

        Returns:
            The last evaluation.

        Raises:
            Terminated: After the checkpoint, if SIGTERM came and there is more to learn.
        """
        runner, cfg = self.runner, self.cfg
        if processes.is_first():
            store_base(self._base_file, self.run_dir)
        base, steered = self.evaluate_base(), None
        base_rate = success_rate(base.successes)
        self._measure_bare_rate()
        done = runner.current_learning_iteration
        with (
            Progress(cfg.max_iterations - done, "reinforcement learning", "iteration") as progress,
            sigterm_noted() if processes.count() == 1 else contextlib.nullcontext(lambda: False) as terminated,
        ):

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
                evaluates = end % cfg.evaluation.interval == 0 or end == cfg.max_iterations
                if evaluates:
                    steered = self.evaluate()
                    self._record_evaluation(steered)
                    self._measure_bare_rate()
                if processes.is_first():
                    runner.save_checkpoint(checkpoint_path(self.run_dir, end), self._checkpoint_infos())
                    curve = self.run_dir / "learning_curve.png"
                    plot_learning_curves(curve, {"steered": self.history}, base_rate, self.spec.task)
                if evaluates:  # said last: whoever reads it may have gone
                    assert steered is not None
                    progress.message(
                        f"evaluation after {runner.env_steps:,} env steps: base {100 * base_rate.rate:.1f}%, "
                        f"steered {100 * success_rate(steered.successes).rate:.1f}% of {len(base.successes)} episodes"
                    )
                if terminated() and end < cfg.max_iterations:
                    raise Terminated
        return steered if steered is not None else self.evaluate()

    def _measure_bare_rate(self) -> None:
        # The evaluation before has just ended in all processes, so they simulate at the same time.
        self.bare_rates.append(sum(processes.gather(bare_simulation_rate(self.env.env))))

    def _record_evaluation(self, results: EpisodeResults) -> None:
        history, writer = self.history, self.runner.logger.writer
        history.evaluation_steps.append(self.runner.env_steps)
        history.evaluation_successes.append(sum(results.successes))
        history.evaluation_episodes.append(len(results.successes))
        history.evaluation_minutes.append(self.learning_seconds / 60.0)
        if writer is not None:
            for tag, evaluated in (("success_rate", results), ("base_success_rate", self.evaluate_base())):
                rate = success_rate(evaluated.successes).rate
                writer.add_scalar(f"Evaluation/{tag}", rate, self.runner.current_learning_iteration - 1)

    def time_split(self) -> dict[str, float]:
        """Return shares of the learning's wall-clock, which sum to one: simulation, policy, update, other.

        Of several processes it is the first one's, and waiting for the others is part of the update.
        """
        seconds = {
            "simulation": self.env.simulation_time.seconds,
            "policy": self.env.planning_time.seconds,
            "update": self.runner.logger.update_seconds,
        }
        shares = {name: spent / max(self.learning_seconds, 1e-9) for name, spent in seconds.items()}
        return {**shares, "other": max(0.0, 1.0 - sum(shares.values()))}

    def result(self, steered: EpisodeResults) -> dict[str, Any]:
        """Return everything the final table says, with the last evaluation, fit for JSON."""
        return {
            "task": self.spec.task,
            **compare(self.evaluate_base(), steered),
            "environment_steps": self.runner.env_steps,
            "minutes": self.learning_seconds / 60.0,
            "evaluation_minutes": self.evaluation_seconds / 60.0,
            "total_minutes": self.total_seconds / 60.0,
            "backend": self.base.backend,
            "physics": self._settings.get("physics"),
            "device": str(self.env.device),
            "num_processes": processes.count(),
            "seed": self.cfg.seed,
            "initial_noise": self.base.initial_noise,
            "method": self.cfg.method,
            "algo": self.cfg.algo,
            **self.steering.sizes(),
            "time_split": self.time_split(),
            "training_steps_per_second": self.runner.env_steps / max(self.learning_seconds, 1e-9),
            "bare_steps_per_second": statistics.median(self.bare_rates),
            "diverged_worlds": self.runner.logger.diverged_worlds,
            "history": asdict(self.history),
        }

    def write_result(self, result: dict[str, Any]) -> None:
        """Write ``result.json`` into the run's folder."""
        if processes.is_first():
            atomic_json_dump(result, self.run_dir / "result.json")
