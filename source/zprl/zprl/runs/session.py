# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A task as a command runs it: its configurations, its environments, and the files that it makes or finds."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from isaaclab.utils import class_to_dict

from zprl.data import Demonstrations, load_demonstrations
from zprl.runs import paths
from zprl.sim import isaaclab
from zprl.sim.isaaclab.mujoco import settle_physics
from zprl.spec import EnvLayout
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump
from zprl.utils.progress import Progress

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg

    from zprl.policies import FlowPolicy
    from zprl.rl.checkpoint import SteeringCheckpoint
    from zprl.rl.runner_cfg import ZprlRunnerCfg

AGENT_ENTRY_POINT = "zprl_cfg_entry_point"
"""Registry key of a task's ZPRL configuration."""


class TaskSession:
    """A task with its configurations resolved.

    Args:
        task: Task id.
        device: "cpu" or "cuda[:N]".
        overrides: Hydra overrides (``env.*``, ``agent.*``, ``physics=NAME``, ``presets=...``); ``policy.*`` is short
            for ``agent.policy.*``.
        num_envs: Number of worlds, or None for the task's own.
        seed: Seed of the run, or None for the configuration's.
        method: What reinforcement learning changes, a name in :data:`zprl.rl.methods.METHODS`.
        algorithm: The learner, one of :data:`zprl.rl.methods.ALGORITHMS`.
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
        method: str = "zprl",
        algorithm: str = "ppo",
        checkpoint: SteeringCheckpoint | None = None,
    ) -> None:
        from zprl.rl.methods import configure

        if checkpoint is not None:
            method, algorithm = checkpoint.method, checkpoint.algorithm
        self.task = task
        self.device = isaaclab.check_device(device)
        isaaclab.configure_runtime(self.device)
        overrides = [f"agent.{text}" if text.startswith("policy.") else text for text in overrides]
        for text in overrides:
            if text.startswith("env.sim.physics="):
                # It would swap the engine and keep the other engine's time steps.
                raise ZprlError(f"choose the physics engine by physics={text.partition('=')[2]}, not by {text}.")
            if text.startswith(("agent.method=", "agent.algo=")):
                # It would name the method and keep the other method's settings.
                option, _, name = text.removeprefix("agent.").partition("=")
                raise ZprlError(f"choose the {option} by --{option} {name}, not by {text}.")
        self._given = {text.partition("=")[0] for text in overrides}
        env_cfg, agent_cfg = isaaclab.resolve_task(
            task, AGENT_ENTRY_POINT, overrides, configure=lambda cfg: configure(cfg, method, algorithm)
        )
        self.env_cfg: ManagerBasedRLEnvCfg = env_cfg
        self.agent_cfg: ZprlRunnerCfg = agent_cfg
        if num_envs is not None:
            self.env_cfg.scene.num_envs = num_envs
        if seed is not None:
            self.agent_cfg.seed = seed
        self.agent_cfg.device = self.device
        self.env_cfg.seed = self.agent_cfg.seed
        engine = settle_physics(self.env_cfg, self.device)
        chosen = [text.removeprefix("physics=") for text in overrides if text.startswith("physics=")]
        self.physics = chosen[-1] if chosen else engine
        _check_ranges(self.env_cfg, self.agent_cfg)

    @contextlib.contextmanager
    def launched(self, viz: str | None = None) -> Iterator[TaskSession]:
        """Run the simulator while the block lasts; its chatter is kept from the user."""
        with isaaclab.quiet_simulator(), isaaclab.launched(self.env_cfg, self.device, viz):
            yield self

    @contextlib.contextmanager
    def environment(
        self,
        num_envs: int | None = None,
        configure: Callable[[ManagerBasedRLEnvCfg], None] | None = None,
    ) -> Iterator[ManagerBasedRLEnv]:
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
        env = isaaclab.make_env(self.task, cfg)
        try:
            yield env
        finally:
            isaaclab.close_env(env)

    # -- demonstrations

    def demonstrations(self, dataset_file: str | None, report: Callable[[str], None] = print) -> Path:
        """Return the data set to learn from, collecting it if it is not there.

        Args:
            dataset_file: Data set of the user's own, or None for the one of the settings.
            report: Prints a line.
        """
        if dataset_file is not None:
            path = Path(dataset_file)
            self._describe_data("given", path, report)
            return path
        from zprl.data.collection import expert_cfg_of

        cfg = self.agent_cfg.demonstrations
        path = paths.demonstrations_path(self.task, cfg, self.env_cfg, expert_cfg_of(self.task))
        if path.is_file():
            self._describe_data("found", path, report)
        else:
            self.collect(path, cfg.num_demos, cfg.quality, cfg.seed, report)
        return path

    def _describe_data(self, how: str, path: Path, report: Callable[[str], None]) -> None:
        demos = self._matching(load_demonstrations(path), path)
        report(f"demonstrations: {how} {path}, {sum(demos.success)} of {demos.num_demos} succeed")

    def _matching(self, demos: Demonstrations, path: Path) -> Demonstrations:
        if demos.task != self.task:
            raise ZprlError(f"the data set {path} belongs to task {demos.task}, not to {self.task}.")
        return demos

    def collect(
        self, path: Path, num_demos: int, quality: str, seed: int, report: Callable[[str], None] = print
    ) -> dict[str, Any]:
        """Collect demonstrations, inside :meth:`launched`; see :func:`zprl.data.collection.collect_demonstrations`."""
        from zprl.data.collection import collect_demonstrations, record_into_memory, worlds_for

        start = time.perf_counter()

        def make_env() -> ManagerBasedRLEnv:
            cfg = copy.deepcopy(self.env_cfg)
            cfg.scene.num_envs = worlds_for(num_demos)
            cfg.seed = seed
            record_into_memory(cfg, self.task)
            return isaaclab.make_env(self.task, cfg)

        try:
            with Progress(num_demos, f"collecting {quality} demonstrations", "episode") as progress:
                result = collect_demonstrations(make_env, self.task, path, num_demos, quality, seed, progress.advance)
        finally:
            isaaclab.close_env()
        report(
            f"demonstrations: {result['successes']} of {num_demos} succeed, {result['env_steps']:,} env steps in "
            f"{time.perf_counter() - start:.0f} s, written to {path}"
        )
        return result

    # -- base policy

    def pretrain(self, dataset: Path, path: Path, report: Callable[[str], None] = print) -> None:
        """Train the base policy on a data set and save it; needs no simulator.

        Args:
            dataset: The data set.
            path: File to write.
            report: Prints a line.

        Raises:
            ZprlError: If the data set is of another task or cannot be read, or training diverges.
        """
        from zprl.policies import save_policy, train_policy

        demos = self._matching(load_demonstrations(dataset), dataset)
        cfg = self.agent_cfg
        start = time.perf_counter()
        with Progress(cfg.pretrain.num_steps, "training the base policy", "step") as progress:

            def advance(step: int, total: int, metrics: dict[str, float]) -> None:
                progress.advance(step - progress.done, f"flow {metrics['flow']:.3f}, KL {metrics['kl']:.2f}")

            limits = torch.full((demos.action_dim,), -1.0), torch.full((demos.action_dim,), 1.0)
            try:
                policy, history, latent = train_policy(
                    demos.observations, demos.actions, cfg.policy, cfg.pretrain, limits, self.device, advance
                )
            except ValueError as error:
                raise ZprlError(f"the base policy cannot be trained on {dataset}: {error}") from error
        layout = EnvLayout(self.task, demos.observation_terms, demos.action_terms, demos.step_dt)
        meta = {
            "layout": layout.to_dict(),
            "latent_statistics": latent,
            "dataset": str(dataset),
            "pretrain": class_to_dict(cfg.pretrain),
            "history": history,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        save_policy(path, policy, meta)
        _write_diagnostics(path.parent, history)
        last = history[-1]
        report(
            f"base policy: {cfg.pretrain.num_steps} steps in {time.perf_counter() - start:.0f} s, flow loss "
            f"{last['flow']:.3f} plain and {last['flow_bottleneck']:.3f} through the bottleneck, RMS(z) "
            f"{latent['latent_mean_rms']:.2f}, written to {path}"
        )

    def load_base(self, path: Path, layout: EnvLayout | None = None) -> tuple[FlowPolicy, dict[str, Any]]:
        """Load a base policy onto the session's device, with the session's inference settings.

        Args:
            path: The file.
            layout: Layout that it must match, or None to skip the check.
        """
        from zprl.policies import load_policy

        policy, meta = load_policy(path)
        if layout is not None:
            layout.require_match(EnvLayout.from_dict(meta["layout"]), f"the base policy {path}")
        self.apply_inference_settings(policy)
        return policy.to(self.device).eval().requires_grad_(False), meta

    def apply_inference_settings(self, policy: FlowPolicy) -> None:
        """Give a policy the settings that may change after its training, from the session's configuration."""
        from zprl.policies import INFERENCE_FIELDS

        for name in INFERENCE_FIELDS:
            setattr(policy.cfg, name, getattr(self.agent_cfg.policy, name))
        if policy.cfg.execute_steps > policy.cfg.horizon:
            raise ZprlError(
                f"policy.execute_steps is {policy.cfg.execute_steps}, but the policy predicts {policy.cfg.horizon} "
                "actions; lower it."
            )

    def adopt(self, checkpoint: SteeringCheckpoint) -> FlowPolicy:
        """Take over how a checkpoint's run acts: its steering and its inference settings, unless given as overrides.

        Args:
            checkpoint: The checkpoint.

        Returns:
            The checkpoint's base policy, on the session's device.
        """
        from zprl.policies import INFERENCE_FIELDS

        policy = checkpoint.policy
        steering = checkpoint.settings["agent"]["steering"]
        inference = {name: getattr(policy.cfg, name) for name in INFERENCE_FIELDS}
        for group, values in (("steering", steering), ("policy", inference)):
            ours = getattr(self.agent_cfg, group)
            for name, value in values.items():
                if f"agent.{group}.{name}" not in self._given:
                    setattr(ours, name, value)
        self.apply_inference_settings(policy)
        return policy.to(self.device).eval().requires_grad_(False)

    def adopt_run(self, checkpoint: SteeringCheckpoint) -> None:
        """Take over all settings of a checkpoint's run but the device, unless given as overrides.

        Args:
            checkpoint: The checkpoint.
        """
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

    def check_bottleneck(
        self, env: ManagerBasedRLEnv, path: Path, report: Callable[[str], None] = print
    ) -> dict[str, Any]:
        """Compare the base policy with and without its bottleneck on the evaluation's initial states; saved beside it.

        Args:
            env: An environment of the task.
            path: File of the base policy.
            report: Prints a line.
        """
        from zprl.evaluation.comparison import bottleneck_gap
        from zprl.evaluation.rollout import Evaluator
        from zprl.policies import make_policy_step_on
        from zprl.steering import LatentResidual, LatentResidualCfg

        layout = EnvLayout.of(self.task, env)
        policy, meta = self.load_base(path, layout)
        step = make_policy_step_on(policy, self.device)
        steering = LatentResidual.make(LatentResidualCfg(), step, meta)
        cfg = self.agent_cfg.evaluation
        evaluator = Evaluator(env, layout, policy.cfg.execute_steps)
        gap = bottleneck_gap(evaluator, steering, policy, cfg.episodes, cfg.seed)
        atomic_json_dump(
            {**gap, "seed": cfg.seed, "initial_noise": policy.cfg.initial_noise}, path.with_suffix(".json")
        )
        cost, low, high = (100 * gap[name] for name in ("gap", "gap_low", "gap_high"))
        verdict = f"costs {cost:.1f} points [{low:.1f}, {high:.1f}]"
        if low > 5.0:
            verdict += ", clearly MORE than 5"
        report(
            f"base policy: succeeds in {100 * gap['bottleneck']['rate']:.1f}% through the bottleneck, "
            f"{100 * gap['plain']['rate']:.1f}% without it (the bottleneck {verdict}; {cfg.episodes} episodes, initial "
            f"noise {policy.cfg.initial_noise})"
        )
        return gap


def _write_diagnostics(folder: Path, history: list[dict[str, float]]) -> None:
    """Write the training's diagnostics as TensorBoard scalars."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for entry in history:
            for name, value in entry.items():
                if name != "step":
                    writer.add_scalar(f"Pretrain/{name}", value, int(entry["step"]))


def _check_ranges(env_cfg: Any, agent_cfg: ZprlRunnerCfg) -> None:
    """Refuse settings that make no sense before anything is started."""
    from zprl.policies.flow.cfg import check_cfg
    from zprl.rl.sac_cfg import check_sac

    for name, value in (
        ("--num_envs", env_cfg.scene.num_envs),
        ("--max_iterations", agent_cfg.max_iterations),
        ("agent.num_steps_per_env", agent_cfg.num_steps_per_env),
        ("agent.save_interval", agent_cfg.save_interval),
        ("agent.demonstrations.num_demos", agent_cfg.demonstrations.num_demos),
        ("agent.pretrain.num_steps", agent_cfg.pretrain.num_steps),
        ("agent.evaluation.episodes", agent_cfg.evaluation.episodes),
        ("agent.evaluation.interval", agent_cfg.evaluation.interval),
        ("agent.policy.execute_steps", agent_cfg.policy.execute_steps),
    ):
        if not isinstance(value, int) or value < 1:
            raise ZprlError(f"{name} must be a positive whole number, not {value}.")
    if agent_cfg.evaluation.interval % agent_cfg.save_interval:
        raise ZprlError(
            f"agent.evaluation.interval is {agent_cfg.evaluation.interval}; it must be a multiple of "
            f"agent.save_interval, {agent_cfg.save_interval}."
        )
    if agent_cfg.demonstrations.quality not in ("mixed", "expert"):
        raise ZprlError(
            f"agent.demonstrations.quality is {agent_cfg.demonstrations.quality!r}; choose mixed or expert."
        )
    if agent_cfg.policy.execute_steps > agent_cfg.policy.horizon:
        raise ZprlError(
            f"agent.policy.execute_steps is {agent_cfg.policy.execute_steps}, more than the chunk's "
            f"{agent_cfg.policy.horizon} actions; lower it."
        )
    check_cfg(agent_cfg.policy)
    if not 0.0 < agent_cfg.step_discount <= 1.0:
        raise ZprlError(f"agent.step_discount is {agent_cfg.step_discount}; it must lie in (0, 1].")
    if agent_cfg.algo == "sac":
        check_sac(agent_cfg.algorithm, agent_cfg.critic)  # type: ignore[arg-type]
    transitions = env_cfg.scene.num_envs * agent_cfg.num_steps_per_env
    if agent_cfg.algo == "ppo" and transitions < agent_cfg.algorithm.num_mini_batches:
        raise ZprlError(
            f"{transitions} transitions per iteration are fewer than agent.algorithm.num_mini_batches="
            f"{agent_cfg.algorithm.num_mini_batches}; raise --num_envs."
        )
