# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluation of a checkpoint, or of the bundle exported from it, against its own base policy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.deploy.load import Bundle, is_bundle, open_bundle
from zprl.envs import EnvLayout
from zprl.evaluation.comparison import base_planner, compare, noise_shape, steered_planner
from zprl.evaluation.report import result_table
from zprl.evaluation.rollout import ChunkPlanner, EpisodeResults, Evaluator
from zprl.policies import FlowPolicy, make_policy_step_on
from zprl.rl.actor import load_actor
from zprl.rl.checkpoint import SteeringCheckpoint, find_checkpoint, resolve_base
from zprl.runs.session import TaskSession
from zprl.steering import make_steering
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump
from zprl.utils.progress import Progress

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
        self.steering = make_steering(session.agent_cfg.steering, self.step, meta)
        self.base: ChunkPlanner = base_planner(self.steering)
        self.steered: ChunkPlanner | None = None
        if checkpoint is not None:
            self.steered = steered_planner(self.steering, load_actor(checkpoint, session.device))


class BundlePolicies:
    """The policies of an exported bundle, ready to act in an environment: the files themselves, not their model.

    Args:
        session: The task.
        env: An environment of it.
        bundle: The bundle.
    """

    def __init__(self, session: TaskSession, env: ManagerBasedRLEnv, bundle: Bundle) -> None:
        self.layout = EnvLayout.of(session.task, env)
        self.layout.require_match(bundle.layout, f"the bundle {bundle.folder}")
        steered = bundle.contract.policy == "steered"
        self.steered: ChunkPlanner | None = (lambda obs, noise: bundle.act(obs)) if steered else None
        self.base: ChunkPlanner | None = None
        if not steered:
            self.base = lambda obs, noise: bundle.act(obs)
        elif bundle.has_base:
            self.base = lambda obs, noise: bundle.act_base(obs)


def evaluate_checkpoint(args: argparse.Namespace, overrides: list[str]) -> dict[str, Any]:
    """Evaluate ``args.checkpoint`` (``latest``, ``base``, a file or a bundle's folder) and print the table.

    Args:
        args: ``task``, ``device``, ``num_envs``, ``checkpoint``, ``format``, ``base``, ``episodes``, ``seed``,
            ``json``, ``viz``.
        overrides: Hydra overrides.

    Returns:
        What ``--json`` writes.
    """
    if args.json and (Path(args.json).is_dir() or not Path(args.json).absolute().parent.is_dir()):
        raise ZprlError(f"--json {args.json} is not a file in an existing folder; name a file to write.")
    bundle = None
    if is_bundle(args.checkpoint):
        bundle = open_bundle(args.checkpoint, args.format)
    elif args.format is not None:
        raise ZprlError(f"--format chooses a file of a bundle, and {args.checkpoint} is none; name a bundle's folder.")
    checkpoint, base = None, None
    if bundle is None and args.checkpoint != "base":
        checkpoint = find_checkpoint(args.checkpoint, args.task, overrides)
    session = TaskSession(args.task, args.device, overrides, args.num_envs, checkpoint=checkpoint)
    seed = session.agent_cfg.evaluation.seed if args.seed is None else args.seed
    if bundle is not None:
        if bundle.contract.task != args.task:
            raise ZprlError(
                f"the bundle {bundle.folder} belongs to task {bundle.contract.task}, not to {args.task}; pass --task "
                f"{bundle.contract.task}."
            )
    elif args.checkpoint == "base":
        base = resolve_base(args.base, args.task)
    with session.launched(args.viz), session.environment() as env:
        if bundle is not None:
            loaded = BundlePolicies(session, env, bundle)
            execute_steps, shape = bundle.contract.control.execute_steps, None
            backend, noise = f"bundle/{bundle.kind}", bundle.contract.control.initial_noise.rule
            source, env_steps = str(bundle.folder), bundle.contract.provenance.environment_steps
        else:
            loaded = LoadedPolicies(session, env, checkpoint, base)
            execute_steps, shape = loaded.policy.cfg.execute_steps, noise_shape(loaded.policy)
            backend, noise = loaded.step.backend, loaded.policy.cfg.initial_noise
            source, env_steps = str(checkpoint.path if checkpoint else base), checkpoint.env_steps if checkpoint else 0
        evaluator = Evaluator(env, loaded.layout, execute_steps)
        planners = {"base": loaded.base, "steered": loaded.steered}
        outcomes = run_all(evaluator, {k: p for k, p in planners.items() if p is not None}, args.episodes, seed, shape)
    report: dict[str, Any] = {
        **{name: results.summary() for name, results in outcomes.items()},
        "environment_steps": env_steps,
        "backend": backend,
        "physics": session.physics,
        "device": session.device,
    }
    if len(outcomes) == 2:
        report.update(compare(outcomes["base"], outcomes["steered"]))
    print(result_table(report))
    result = flat_result(report, args.task, source, args.episodes, seed)
    result["initial_noise"] = noise
    for key, results in (("outcomes", [*outcomes.values()][-1]), ("base_outcomes", outcomes.get("base"))):
        result[key] = results and {"success": results.successes, "steps": results.steps}
    if args.json:
        atomic_json_dump(result, Path(args.json))
        print(f"written to {args.json}")
    return result


def run_all(
    evaluator: Evaluator,
    planners: dict[str, ChunkPlanner],
    episodes: int,
    seed: int,
    noise_shape: tuple[int, int] | None = None,
) -> dict[str, EpisodeResults]:
    """Evaluate policies one after another on the same episodes, and show how far it is.

    Args:
        evaluator: The evaluator.
        planners: The policies by name.
        episodes: Number of episodes.
        seed: Seed of the initial states.
        noise_shape: See :meth:`Evaluator.run`.
    """
    outcomes = {}
    with Progress(len(planners) * episodes, "evaluating", "episode") as progress:
        for index, (name, planner) in enumerate(planners.items()):
            offset = index * episodes

            def advance(done: int, offset: int = offset) -> None:
                progress.advance(offset + done - progress.done)

            outcomes[name] = evaluator.run(planner, episodes, seed, noise_shape, advance)
    return outcomes


def flat_result(report: dict[str, Any], task: str, checkpoint: str, episodes: int, seed: int) -> dict[str, Any]:
    """Return an evaluation as the flat keys of ``--json``; of a base policy alone both halves are the same.

    The base policy's numbers are None where a bundle's format does not hold it.

    Args:
        report: Summaries ``base`` and, if there are both, ``steered``; steps, backend, physics and device.
        task: Task id.
        checkpoint: File that was evaluated.
        episodes: Number of episodes.
        seed: Seed of the initial states.
    """
    base = report.get("base", {})
    steered = report.get("steered", base)
    return {
        "task": task,
        "checkpoint": checkpoint,
        "episodes": episodes,
        "seed": seed,
        "success_rate": steered["rate"],
        "success_ci95": [steered["low"], steered["high"]],
        "base_success_rate": base.get("rate"),
        "base_success_ci95": [base["low"], base["high"]] if base else None,
        "mean_steps": steered["mean_steps"],
        "base_mean_steps": base.get("mean_steps"),
        "env_steps_trained": report["environment_steps"],
        **{name: steered[name] for name in ("velocity", "acceleration", "jerk")},
        **{f"base_{name}": base.get(name) for name in ("velocity", "acceleration", "jerk")},
        "comparison": report.get("comparison"),
        "backend": report["backend"],
        "device": report["device"],
        "physics": report["physics"],
    }
