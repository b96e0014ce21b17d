# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Learning of an expert by rsl_rl's PPO, in a task of its own whose reward is dense."""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsl_rl.runners import OnPolicyRunner

from zprl.evaluation.statistics import SuccessRate, success_rate
from zprl.runs.base_policy import TRIAL_SEED_OFFSET, collect
from zprl.runs.paths import new_run_dir
from zprl.runs.session import TaskSession
from zprl.sim import isaaclab
from zprl.tasks.experts import ExpertActor, LearnedExpertCfg, expert_cfg_of
from zprl.tasks.experts.learned_expert import observation_terms
from zprl.utils.errors import ZprlError
from zprl.utils.progress import Progress
from zprl.utils.provenance import package_versions

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


class ExpertRunner(OnPolicyRunner):
    """rsl_rl's runner, whose checkpoints are experts, and which says less.

    Args:
        env: The environment, as Isaac Lab wraps it for rsl_rl.
        cfg: Settings of the learner.
        log_dir: Folder of TensorBoard's files.
        device: Device of the learner.
        save: Writes the actor, from its weights and the number of environment steps.
        progress: Shows how far it is.
    """

    def __init__(
        self,
        env: Any,
        cfg: dict[str, Any],
        log_dir: Path,
        device: str,
        save: Callable[[dict[str, Any], int], None],
        progress: Progress,
    ) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it lists the layers
            super().__init__(env, cfg, str(log_dir), device)
        self.logger.git_status_repos = []
        self._write, self._progress, self._log = save, progress, self.logger.log
        self.logger.log = self._say  # type: ignore[method-assign]

    @property
    def env_steps(self) -> int:
        """Environment steps taken so far, after an iteration."""
        return (self.current_learning_iteration + 1) * self.cfg["num_steps_per_env"] * self.env.num_envs

    def save(self, path: str, infos: dict | None = None) -> None:
        """Write the actor, whatever path rsl_rl has in mind for its own file."""
        weights = self.alg.get_policy().state_dict()
        kept = {name: value.cpu() for name, value in weights.items() if not name.startswith("distribution")}
        self._write(kept, self.env_steps)

    def _say(self, **values: Any) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._log(**values)
        rewards = self.logger.rewbuffer
        note = f"reward of an episode {statistics.mean(rewards):.2f}" if rewards else ""
        self._progress.advance(1, f"{note}, {self.env_steps:,} env steps")


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
        ZprlError: If the task's expert is not a learned one, or an option is out of range.
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
    with isaaclab.quiet_simulator(), isaaclab.launched(env_cfg, device, viz):
        env = isaaclab.make_env(cfg.training_task, env_cfg)
        run_dir = _learn(env, agent_cfg, path, provenance)
        isaaclab.close_env(env)
    print(f"expert: {path}, learning curves: {run_dir}")
    cfg.actor_file = str(path)
    return _judge(TaskSession(task, device), cfg, episodes)


def _learn(env: ManagerBasedRLEnv, agent_cfg: Any, path: Path, provenance: dict[str, Any]) -> Path:
    """Learn in an environment and write the actor; return the folder of the learning curves."""
    from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper, handle_deprecated_rsl_rl_cfg

    isaaclab.check_time(env)
    cfg: Any = handle_deprecated_rsl_rl_cfg(agent_cfg, version("rsl-rl-lib"))
    form = (observation_terms(env), env.action_manager.total_action_dim)
    layers = (list(cfg.actor.hidden_dims), cfg.actor.activation)

    def save(weights: dict[str, Any], env_steps: int) -> None:
        ExpertActor(*form, *layers, weights, {**provenance, "env_steps": env_steps}).save(path)

    run_dir = new_run_dir(cfg.experiment_name, cfg.run_name)
    wrapped = RslRlVecEnvWrapper(env, clip_actions=cfg.clip_actions)
    with Progress(cfg.max_iterations, f"learning the expert of {provenance['task']}", "iteration") as progress:
        runner = ExpertRunner(wrapped, cfg.to_dict(), run_dir, cfg.device, save, progress)
        runner.learn(cfg.max_iterations, init_at_random_ep_len=True)
    return run_dir


def _judge(session: TaskSession, cfg: LearnedExpertCfg, episodes: int) -> SuccessRate:
    """Return how often an expert succeeds without noise."""
    demonstrations = session.agent_cfg.demonstrations
    demonstrations.seed, demonstrations.quality = session.agent_cfg.evaluation.seed + TRIAL_SEED_OFFSET, "expert"
    with tempfile.TemporaryDirectory(prefix="zprl-expert-") as folder, session.launched():
        successes = collect(session, Path(folder) / "demos.hdf5", cfg, episodes, kept=False)["successes"]
    return success_rate([True] * successes + [False] * (episodes - successes))
