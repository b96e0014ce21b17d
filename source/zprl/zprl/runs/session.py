# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A task as a command runs it: its configurations and its environments."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zprl.policies import INFERENCE_FIELDS, ImportedPolicy
from zprl.policies.flow.cfg import check_cfg, check_pretrain_cfg
from zprl.rl.methods import configure
from zprl.rl.ppo import check_ppo
from zprl.rl.sac import check_sac
from zprl.runs.simulators import simulator_of
from zprl.sim.gymnasium.worlds_cfg import WorldsCfg
from zprl.utils import processes
from zprl.utils.configclass import class_to_dict
from zprl.utils.constraints import NUM_SEEDS, check_values
from zprl.utils.devices import check_device
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump, naming_errors
from zprl.utils.outputs import check_name
from zprl.utils.provenance import package_versions
from zprl.utils.registry import check_importable, trust

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnvCfg

    from zprl.envs.task_env import TaskEnv
    from zprl.policies import FlowPolicy
    from zprl.rl.checkpoint import SteeringCheckpoint
    from zprl.rl.runner_cfg import ZprlRunnerCfg
    from zprl.sim.isaaclab.task_env import IsaacLabEnv

AGENT_ENTRY_POINT = "zprl_cfg_entry_point"
"""Registry key of a task's ZPRL configuration."""

_PACKAGES = ("zprl", "torch", "rsl-rl-lib")
"""Packages whose versions a run's manifest holds, beside those of what simulates it."""

_LOGGER_PACKAGES = ("wandb", "neptune")
"""Values of ``agent.logger`` that are packages of their own."""


class TaskSession:
    """A task with its configurations resolved.

    Args:
        task: Task id.
        device: "cpu" or "cuda[:N]".
        overrides: Hydra overrides (``env.*``, ``agent.*``, ``physics=NAME``, ``presets=...``); ``policy.*`` is short
            for ``agent.policy.*``.
        num_envs: Number of worlds, or None for the task's own.
        seed: Seed of the run, or None for the configuration's.
        method: What reinforcement learning changes, a name in :data:`zprl.rl.methods.METHODS`, or None for the task's.
        algorithm: The learner, one of :data:`zprl.rl.methods.ALGORITHMS`, or None for the task's.
        checkpoint: A checkpoint whose method and learner are taken instead, or None.

    Raises:
        ZprlError: If the task, the device, the method, the learner or an option does not exist or is out of range, or
            the method and the learner do not go together.
    """

    def __init__(
        self,
        task: str,
        device: str = "cpu",
        overrides: Sequence[str] = (),
        num_envs: int | None = None,
        seed: int | None = None,
        method: str | None = None,
        algorithm: str | None = None,
        checkpoint: SteeringCheckpoint | None = None,
    ) -> None:
        if checkpoint is not None:
            method, algorithm = checkpoint.method, checkpoint.algorithm
        self.task = task
        self.device = check_device(device)
        self.simulator = simulator_of(task)
        self.simulator.prepare(self.device)
        overrides = [f"agent.{text}" if text.startswith("policy.") else text for text in overrides]
        for text in overrides:
            if text.startswith(("agent.method=", "agent.algo=", "agent.device=")):
                # It would name the method and keep the other method's settings, or be overruled.
                option, _, name = text.removeprefix("agent.").partition("=")
                raise ZprlError(f"choose the {option} by --{option} {name}, not by {text}.")
        self._given = {text.partition("=")[0] for text in overrides}
        env_cfg, agent_cfg = self.simulator.resolve(
            task, AGENT_ENTRY_POINT, overrides, lambda cfg: configure(cfg, method, algorithm)
        )
        self.env_cfg: Any = env_cfg
        self.agent_cfg: ZprlRunnerCfg = agent_cfg
        trust(class_to_dict(agent_cfg))  # the task's code and the user's overrides, before any file is read
        if num_envs is not None:
            self.env_cfg.scene.num_envs = num_envs
        if seed is not None:
            self.agent_cfg.seed = seed
        self.agent_cfg.device = self.device
        self.env_cfg.seed = self.agent_cfg.seed
        engine = self.simulator.choose_engine(self.env_cfg, self.device)
        chosen = [text.removeprefix("physics=") for text in overrides if text.startswith("physics=")]
        self.physics = chosen[-1] if chosen else engine
        self.simulator.check(self.env_cfg)
        check_together(self.env_cfg.scene.num_envs, self.agent_cfg)
        check_name("agent.experiment_name", self.agent_cfg.experiment_name)
        if self.agent_cfg.run_name:
            check_name("agent.run_name", self.agent_cfg.run_name)

    @contextlib.contextmanager
    def launched(self, viz: str | None = None) -> Iterator[TaskSession]:
        """Run the simulator while the block lasts; its chatter is kept from the user."""
        with self.simulator.launched(self.env_cfg, self.device, viz):
            yield self

    @contextlib.contextmanager
    def environment(
        self, num_envs: int | None = None, configure: Callable[[Any], None] | None = None
    ) -> Iterator[TaskEnv]:
        """Make an environment of the task, inside :meth:`launched`, and close it after the block.

        Args:
            num_envs: Number of worlds, or None for the session's.
            configure: Changes the environment's own copy of the configuration.
        """
        cfg = copy.deepcopy(self.env_cfg)
        if num_envs is not None:
            cfg.scene.num_envs = num_envs
        if configure is not None:
            configure(cfg)
        env = self.simulator.make(self.task, cfg, self.device)
        try:
            yield env
        finally:
            env.close()

    @contextlib.contextmanager
    def isaaclab_environment(
        self, num_envs: int | None = None, configure: Callable[[ManagerBasedRLEnvCfg], None] | None = None
    ) -> Iterator[IsaacLabEnv]:
        """Make an environment as :meth:`environment` does, for what looks into its scene.

        Raises:
            ZprlError: If the task is not one of Isaac Lab's.
        """
        self.require_isaaclab()
        with self.environment(num_envs, configure) as env:
            yield cast("IsaacLabEnv", env)

    def require_isaaclab(self) -> None:
        """Refuse a task that is not one of Isaac Lab's.

        Raises:
            ZprlError: If it is not.
        """
        if isinstance(self.env_cfg, WorldsCfg):
            raise ZprlError(
                f"this command looks into a scene of Isaac Lab's, and the worlds of {self.task} are Gymnasium's; name "
                "another task."
            )

    @contextlib.contextmanager
    def training_environment(self, num_envs: int | None = None) -> Iterator[TaskEnv]:
        """Make this process's environment of a training, inside :meth:`launched`, and close it after the block.

        Args:
            num_envs: Number of worlds, or None for the session's.

        Raises:
            ZprlError: If nothing can be learned there: see :func:`zprl.sim.isaaclab.check_time`.
        """

        def configure(cfg: Any) -> None:
            self.simulator.prepare_training(cfg, self.agent_cfg.algo)
            # What is drawn once, when worlds are made, differs between the processes.
            cfg.seed = (cfg.seed + processes.rank()) % NUM_SEEDS

        with self.environment(num_envs, configure) as env:
            self.simulator.check_training(env)
            yield env

    def write_run_files(self, run_dir: Path) -> None:
        """Write how a run was made into its folder, as Isaac Lab lays it out: params/ and the manifest run.json."""
        run_dir.mkdir(parents=True, exist_ok=True)
        for name, cfg in (("env", self.env_cfg), ("agent", self.agent_cfg)):
            path = run_dir / "params" / f"{name}.yaml"
            with naming_errors(path):
                self.simulator.write_settings(cfg, path)
        # Written last: what the manifest's presence promises is there.
        atomic_json_dump(
            {
                "version": 1,
                "library": "rsl_rl",
                "task": self.task,
                "metadata": {"agent": AGENT_ENTRY_POINT},
                "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "device": self.device,
                "physics": self.physics,
                "num_envs": self.env_cfg.scene.num_envs,
                "num_processes": processes.count(),
                "seed": self.agent_cfg.seed,
                "python": platform.python_version(),
                "packages": package_versions((*_PACKAGES, *self.simulator.packages)),
            },
            run_dir / "run.json",
        )

    def apply_inference_settings(self, policy: FlowPolicy | ImportedPolicy) -> None:
        """Give a policy the settings that may change after its training, from the session's configuration.

        Of its chunks an imported policy executes what it always did, unless the user says otherwise.
        """
        if isinstance(policy, ImportedPolicy):
            policy.initial_noise, policy.mode = self.agent_cfg.policy.initial_noise, self.agent_cfg.imported.mode
            if "agent.policy.execute_steps" in self._given:
                policy.execute_steps = self.agent_cfg.policy.execute_steps
            policy.check_inference()
            return
        for name in INFERENCE_FIELDS:
            setattr(policy.cfg, name, getattr(self.agent_cfg.policy, name))
        if policy.cfg.execute_steps > policy.cfg.horizon:
            raise ZprlError(
                f"policy.execute_steps is {policy.cfg.execute_steps}, but the policy predicts {policy.cfg.horizon} "
                "actions; lower it."
            )

    def take_over_policy(self, checkpoint: SteeringCheckpoint) -> FlowPolicy | ImportedPolicy:
        """Take over how a checkpoint's run acts: its steering and its inference settings, unless given as overrides.

        Returns:
            The checkpoint's base policy, with the session's inference settings.
        """
        policy = checkpoint.policy
        acting = {"steering": checkpoint.settings["agent"]["steering"]}
        if isinstance(policy, ImportedPolicy):
            acting |= {"policy": {"initial_noise": policy.initial_noise}, "imported": {"mode": policy.mode}}
        else:
            acting["policy"] = {name: getattr(policy.cfg, name) for name in INFERENCE_FIELDS}
        self._take_over(self.agent_cfg, acting, "agent")
        self.apply_inference_settings(policy)
        return policy

    def take_over_run(self, checkpoint: SteeringCheckpoint) -> None:
        """Take over all settings of a checkpoint's run but the device, unless given as overrides."""
        self._take_over(self.agent_cfg, {**checkpoint.settings["agent"], "device": self.device}, "agent")
        self.env_cfg.seed = self.agent_cfg.seed

    def _take_over(self, cfg: Any, values: dict[str, Any], path: str) -> None:
        for name, value in values.items():
            if f"{path}.{name}" in self._given or isinstance(value, type(MISSING)):
                continue
            current = getattr(cfg, name, None)
            if isinstance(value, dict) and hasattr(current, "__dataclass_fields__"):
                self._take_over(current, value, f"{path}.{name}")
            else:
                setattr(cfg, name, value)


def check_together(num_envs: int, agent_cfg: ZprlRunnerCfg) -> None:
    """Refuse settings that are out of range or do not go together, before anything is started.

    Args:
        num_envs: Number of worlds.
        agent_cfg: The learner's configuration.

    Raises:
        ZprlError: If there is one.
    """
    check_values(agent_cfg, "agent")
    check_importable(class_to_dict(agent_cfg))
    if agent_cfg.evaluation.interval % agent_cfg.save_interval:
        raise ZprlError(
            f"agent.evaluation.interval is {agent_cfg.evaluation.interval}; it must be a multiple of "
            f"agent.save_interval, {agent_cfg.save_interval}."
        )
    if agent_cfg.policy.execute_steps > agent_cfg.policy.horizon:
        raise ZprlError(
            f"agent.policy.execute_steps is {agent_cfg.policy.execute_steps}, more than the chunk's "
            f"{agent_cfg.policy.horizon} actions; lower it."
        )
    check_cfg(agent_cfg.policy)
    check_pretrain_cfg(agent_cfg.pretrain)
    if getattr(agent_cfg.actor, "distribution_cfg", agent_cfg.actor) is None:
        raise ZprlError("agent.actor.distribution_cfg is null, and an actor without a distribution explores nothing.")
    if agent_cfg.logger in _LOGGER_PACKAGES and importlib.util.find_spec(agent_cfg.logger) is None:
        raise ZprlError(
            f"agent.logger={agent_cfg.logger} needs the package {agent_cfg.logger}, which is not installed; install it "
            "or choose tensorboard."
        )
    if agent_cfg.algo == "sac":
        check_sac(agent_cfg.algorithm, agent_cfg.critic, num_envs)  # type: ignore[arg-type]
    if agent_cfg.algo == "ppo":
        check_ppo(agent_cfg.algorithm)
    transitions = num_envs * agent_cfg.num_steps_per_env
    if agent_cfg.algo == "ppo" and transitions < agent_cfg.algorithm.num_mini_batches:
        raise ZprlError(
            f"{transitions} transitions per iteration are fewer than agent.algorithm.num_mini_batches="
            f"{agent_cfg.algorithm.num_mini_batches}; raise --num_envs."
        )
