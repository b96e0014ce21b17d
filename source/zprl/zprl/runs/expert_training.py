# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Learning of an expert by rsl_rl's PPO, in a task of its own whose reward is dense."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.evaluation.statistics import SuccessRate, success_rate
from zprl.rl.runner import VERSION, SteeringRunner
from zprl.runs.base_policy import TRIAL_SEED_OFFSET, collect
from zprl.runs.paths import env_settings, new_run_dir
from zprl.runs.session import TaskSession
from zprl.sim import isaaclab
from zprl.tasks.experts import ExpertActor, LearnedExpertCfg, expert_cfg_of
from zprl.tasks.experts.learned_expert import observation_terms
from zprl.utils.errors import ZprlError, first_line
from zprl.utils.files import content_key
from zprl.utils.progress import Progress
from zprl.utils.provenance import package_versions
from zprl.utils.tensor_files import SUFFIX, load_tensors

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

AGENT_ENTRY_POINT = "rsl_rl_cfg_entry_point"
"""Registry key of the learner's configuration."""

_PACKAGES = ("zprl", "isaaclab", "newton", "mujoco", "torch", "rsl-rl-lib")
"""Packages whose versions an expert's file holds."""


def learned_expert_cfg(task: str) -> LearnedExpertCfg:
    """Return the configuration of a task's expert, which is a learned one.

    Raises:
        ZprlError: If the task has none, or a scripted one.
    """
    cfg = expert_cfg_of(task)
    if not isinstance(cfg, LearnedExpertCfg):
        raise ZprlError(f"the expert of task {task} is scripted, {type(cfg).__name__}; there is nothing to learn.")
    return cfg


def check_learner(cfg: Any, num_envs: int) -> None:
    """Refuse counts of rsl_rl's configuration with which nothing can be learned, before anything is started.

    Raises:
        ZprlError: If there is one.
    """
    counts = {name: getattr(cfg, name) for name in ("num_steps_per_env", "max_iterations", "save_interval")}
    for name in ("num_learning_epochs", "num_mini_batches"):
        counts[f"algorithm.{name}"] = getattr(cfg.algorithm, name)
    for name, value in counts.items():
        if value < 1:
            raise ZprlError(f"agent.{name} is {value}; it must be at least 1.")
    transitions = num_envs * cfg.num_steps_per_env
    if transitions < cfg.algorithm.num_mini_batches:
        raise ZprlError(
            f"{transitions} transitions per iteration are fewer than agent.algorithm.num_mini_batches="
            f"{cfg.algorithm.num_mini_batches}; raise --num_envs."
        )


class ExpertRunner(SteeringRunner):
    """The runner of steering, without a base policy; see there for its segments and arguments."""

    kind = "zprl-expert-learner"

    def actor_weights(self) -> dict[str, Any]:
        """Return what of the learned policy acts without noise."""
        weights = self.alg.get_policy().state_dict()
        return {name: value.cpu() for name, value in weights.items() if not name.startswith("distribution")}


def learner_path(path: Path) -> Path:
    """Return where the learner of an expert's file is kept, until it has learned all: beside it."""
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}.learner{SUFFIX}")


def train_expert(
    task: str,
    path: Path,
    device: str = "cpu",
    overrides: Sequence[str] = (),
    num_envs: int | None = None,
    seed: int | None = None,
    viz: str | None = None,
    episodes: int = 200,
) -> SuccessRate:
    """Learn a task's expert, write it to a file again and again, and judge it in the task itself.

    The learner is kept beside the file, see :func:`learner_path`, until the expert has been judged: the same call goes
    on where it was stopped, and makes the same file as if it had not been.

    Args:
        task: Task id.
        path: File to write.
        device: "cpu" or "cuda[:N]".
        overrides: Hydra overrides of the task that the expert is learned in: ``env.*`` and ``agent.*``, the latter of
            rsl_rl's configuration.
        num_envs: Number of worlds, or None for the task's own.
        seed: Seed of the learner, or None for the configuration's.
        viz: Isaac Lab's visualizer, or None.
        episodes: Episodes that judge the expert, which are others than those of any evaluation.

    Returns:
        How often the expert succeeds, without noise.

    Raises:
        ZprlError: If the task's expert is not a learned one, an option is out of range, or the learner that is kept
            beside the file is damaged or of other settings.
    """
    cfg = learned_expert_cfg(task)
    device = isaaclab.check_device(device)
    isaaclab.configure_runtime(device)
    env_cfg, agent_cfg = isaaclab.resolve_task(cfg.training_task, AGENT_ENTRY_POINT, list(overrides))
    if num_envs is not None:
        env_cfg.scene.num_envs = num_envs
    if seed is not None:
        agent_cfg.seed = seed
    env_cfg.seed, agent_cfg.device = agent_cfg.seed, device
    isaaclab.check_env_values(env_cfg)
    check_learner(agent_cfg, env_cfg.scene.num_envs)
    provenance = {
        "task": task,
        "training_task": cfg.training_task,
        "overrides": list(overrides),
        "seed": agent_cfg.seed,
        "num_envs": env_cfg.scene.num_envs,
        "packages": package_versions(_PACKAGES),
    }
    learner = Learner.at(learner_path(path), task, env_cfg, agent_cfg)
    with isaaclab.quiet_simulator(), isaaclab.launched(env_cfg, device, viz):
        env = isaaclab.make_env(cfg.training_task, env_cfg)
        run_dir = _learn(env, agent_cfg, path, provenance, learner)
        isaaclab.close_env(env)
    print(f"expert: {path}, learning curves: {run_dir}")
    cfg.actor_file = str(path)
    success = _judge(TaskSession(task, device), cfg, episodes)
    learner.path.unlink(missing_ok=True)
    return success


@dataclass
class Learner:
    """What is kept of a learner while it learns, so that the same command goes on where it was stopped.

    Attributes:
        path: Its file.
        key: Of the settings that it learns with.
        content: What the file held at first, or None if there was none.
    """

    path: Path
    key: str
    content: dict[str, Any] | None

    @classmethod
    def at(cls, path: Path, task: str, env_cfg: Any, agent_cfg: Any) -> Learner:
        """Read the file, if there is one.

        Raises:
            ZprlError: If it is damaged or of other settings.
        """
        agent = {k: v for k, v in agent_cfg.to_dict().items() if k not in ("max_iterations", "device", "run_name")}
        worlds = env_cfg.scene.num_envs
        key = content_key({"task": task, "env": env_settings(env_cfg), "agent": agent, "num_envs": worlds})
        if not path.exists():
            return cls(path, key, None)
        content = load_tensors(path, ExpertRunner.kind, "learner of an expert", VERSION)
        remedy = "remove it to begin anew, or name another --output"
        try:
            found, iteration = content["infos"]["key"], int(content["iter"])
        except (KeyError, TypeError, ValueError) as error:
            raise ZprlError(f"{path} is damaged ({error}); {remedy}.") from error
        if found != key:
            raise ZprlError(f"{path} is of a learner with other settings, which has not learned all yet; {remedy}.")
        print(f"learner: {path}, which has done {iteration} iterations")
        return cls(path, key, content)


def _learn(env: ManagerBasedRLEnv, agent_cfg: Any, path: Path, provenance: dict[str, Any], learner: Learner) -> Path:
    """Learn in an environment and write the actor; return the folder of the learning curves."""
    from isaaclab_rl.rsl_rl import handle_deprecated_rsl_rl_cfg

    from zprl.sim.isaaclab.vec_env import StepVecEnv

    isaaclab.check_time(env)
    cfg: Any = handle_deprecated_rsl_rl_cfg(agent_cfg, version("rsl-rl-lib"))
    form = (observation_terms(env), env.action_manager.total_action_dim)
    layers = (list(cfg.actor.hidden_dims), cfg.actor.activation)
    run_dir = new_run_dir(cfg.experiment_name, cfg.run_name)
    settings = {**cfg.to_dict(), "init_at_random_ep_len": True}
    worlds = StepVecEnv(env, cfg.clip_actions)
    runner = ExpertRunner(worlds, settings, str(run_dir), cfg.device, cfg.seed)  # type: ignore[arg-type]
    if learner.content is not None:
        try:
            runner.load_checkpoint(learner.content)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ZprlError(f"{learner.path} does not fit its settings ({first_line(error)}); remove it.") from error
    done = runner.current_learning_iteration
    with Progress(
        max(cfg.max_iterations - done, 0), f"learning the expert of {provenance['task']}", "iteration"
    ) as progress:

        def note(iteration: int, rate: float | None, steps_per_second: float) -> None:
            rewards = runner.logger.rewbuffer
            reward = f"reward of an episode {statistics.mean(rewards):.2f}, " if rewards else ""
            progress.advance(1, f"{reward}{(iteration + 1) * runner.env_steps_per_iteration:,} env steps")

        runner.logger.on_iteration = note
        while (start := runner.current_learning_iteration) < cfg.max_iterations:
            # Segments end at the same iterations whether or not the learner was interrupted.
            end = min((start // cfg.save_interval + 1) * cfg.save_interval, cfg.max_iterations)
            runner.learn_segment(end - start)
            actor = ExpertActor(*form, *layers, runner.actor_weights(), {**provenance, "env_steps": runner.env_steps})
            actor.save(path)
            runner.save_checkpoint(learner.path, {"key": learner.key})
    return run_dir


def _judge(session: TaskSession, cfg: LearnedExpertCfg, episodes: int) -> SuccessRate:
    """Return how often an expert succeeds without noise."""
    demonstrations = session.agent_cfg.demonstrations
    demonstrations.seed, demonstrations.quality = session.agent_cfg.evaluation.seed + TRIAL_SEED_OFFSET, "expert"
    with tempfile.TemporaryDirectory(prefix="zprl-expert-") as folder, session.launched():
        successes = collect(session, Path(folder) / "demos.hdf5", cfg, episodes, kept=False)["successes"]
    return success_rate([True] * successes + [False] * (episodes - successes))
