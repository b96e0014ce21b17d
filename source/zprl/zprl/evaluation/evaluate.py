# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluation of a checkpoint against its own base policy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.envs import EnvLayout
from zprl.errors import ZprlError
from zprl.evaluation.comparison import base_planner, compare, noise_shape, steered_planner
from zprl.evaluation.report import result_table
from zprl.evaluation.rollout import ChunkPlanner, Evaluator
from zprl.files import atomic_json_dump
from zprl.policy import FlowPolicy, make_policy_step_on
from zprl.progress import Progress
from zprl.rl.actor import load_actor
from zprl.rl.checkpoint import SteeringCheckpoint, load_checkpoint, resolve_base, resolve_checkpoint
from zprl.session import TaskSession
from zprl.steering import LatentResidual

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


class LoadedPolicies:
    """The base policy and, of a checkpoint, the steered one, ready to act in an environment.

    Args:
        session: The task.
        env: An environment of it.
        checkpoint: The checkpoint, or None for a base policy alone.
        base: File of the base policy, if there is no checkpoint.
    """

    def __init__(
        self, session: TaskSession, env: ManagerBasedRLEnv, checkpoint: SteeringCheckpoint | None, base: Path | None
    ) -> None:
        self.layout = EnvLayout.of(session.task, env)
        if checkpoint is not None:
            self.layout.require_match(checkpoint.layout, f"the checkpoint {checkpoint.path}")
            self.policy: FlowPolicy = session.adopt(checkpoint)
            meta = checkpoint.policy_meta
        else:
            assert base is not None
            self.policy, meta = session.load_base(base, self.layout)
        self.step = make_policy_step_on(self.policy, session.device)
        self.steering = LatentResidual(
            session.agent_cfg.steering, self.step, meta["latent_statistics"]["latent_mean_rms"]
        )
        self.base: ChunkPlanner = base_planner(self.steering)
        self.steered: ChunkPlanner | None = None
        if checkpoint is not None:
            self.steered = steered_planner(self.steering, load_actor(checkpoint, session.device))


def evaluate_checkpoint(args: argparse.Namespace, overrides: list[str]) -> dict[str, Any]:
    """Evaluate ``args.checkpoint`` (``latest``, ``base`` or a file) and print the table.

    Args:
        args: ``task``, ``device``, ``num_envs``, ``checkpoint``, ``base``, ``episodes``, ``seed``, ``json``, ``viz``.
        overrides: Hydra overrides.

    Returns:
        What ``--json`` writes.
    """
    if args.json and (Path(args.json).is_dir() or not Path(args.json).absolute().parent.is_dir()):
        raise ZprlError(f"--json {args.json} is not a file in an existing folder; name a file to write.")
    session = TaskSession(args.task, args.device, overrides, args.num_envs)
    seed = session.agent_cfg.evaluation.seed if args.seed is None else args.seed
    checkpoint, base = None, None
    if args.checkpoint == "base":
        base = resolve_base(args.base, args.task)
    else:
        checkpoint = load_checkpoint(resolve_checkpoint(args.checkpoint, args.task, session.agent_cfg.experiment_name))
    with session.launched(args.viz), session.environment() as env:
        loaded = LoadedPolicies(session, env, checkpoint, base)
        evaluator = Evaluator(env, loaded.layout, loaded.policy.cfg.execute_steps)
        planners = [loaded.base] if loaded.steered is None else [loaded.base, loaded.steered]
        shape = noise_shape(loaded.policy)
        outcomes = []
        with Progress(len(planners) * args.episodes, "evaluating", "episode") as progress:
            for index, planner in enumerate(planners):
                offset = index * args.episodes
                outcomes.append(
                    evaluator.run(
                        planner,
                        args.episodes,
                        seed,
                        shape,
                        lambda n, offset=offset: progress.advance(offset + n - progress.done),
                    )
                )
    report: dict[str, Any] = {
        "base": outcomes[0].summary(),
        "environment_steps": checkpoint.env_steps if checkpoint else 0,
        "backend": loaded.step.backend,
        "physics": session.physics,
        "device": session.device,
    }
    if loaded.steered is not None:
        report.update(compare(*outcomes))
    print(result_table(report))
    result = flat_result(report, args.task, str(checkpoint.path if checkpoint else base), args.episodes, seed)
    result["initial_noise"] = loaded.policy.cfg.initial_noise
    result["outcomes"] = {"success": outcomes[-1].successes, "steps": outcomes[-1].steps}
    result["base_outcomes"] = {"success": outcomes[0].successes, "steps": outcomes[0].steps}
    if args.json:
        atomic_json_dump(result, Path(args.json))
        print(f"written to {args.json}")
    return result


def flat_result(report: dict[str, Any], task: str, checkpoint: str, episodes: int, seed: int) -> dict[str, Any]:
    """Return an evaluation as the flat keys of ``--json``; of a base policy alone both halves are the same.

    Args:
        report: Summaries ``base`` and, of a checkpoint, ``steered``; steps, backend, physics and device.
        task: Task id.
        checkpoint: File that was evaluated.
        episodes: Number of episodes.
        seed: Seed of the initial states.
    """
    base = report["base"]
    steered = report.get("steered", base)
    return {
        "task": task,
        "checkpoint": checkpoint,
        "episodes": episodes,
        "seed": seed,
        "success_rate": steered["rate"],
        "success_ci95": [steered["low"], steered["high"]],
        "base_success_rate": base["rate"],
        "base_success_ci95": [base["low"], base["high"]],
        "mean_steps": steered["mean_steps"],
        "base_mean_steps": base["mean_steps"],
        "env_steps_trained": report["environment_steps"],
        **{name: steered[name] for name in ("velocity", "acceleration", "jerk")},
        **{f"base_{name}": base[name] for name in ("velocity", "acceleration", "jerk")},
        "comparison": report.get("comparison"),
        "backend": report["backend"],
        "device": report["device"],
        "physics": report["physics"],
    }
