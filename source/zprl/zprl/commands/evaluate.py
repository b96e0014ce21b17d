# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluate a checkpoint or an exported bundle: it and its base policy on the same initial states, deterministic.

Example: python scripts/evaluate.py --task Zprl-Lift-Franka --checkpoint latest --episodes 200 --json result.json
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zprl.commands.options import Command, TaskOptions, add_task_arguments, check_writable, positive_int
from zprl.utils.errors import ZprlError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(TaskOptions):
    """Options of the command."""

    num_envs: int | None = None
    """Number of worlds, or None for the task's own."""
    checkpoint: str = "latest"
    """What to evaluate: "latest", "base", a checkpoint, or the folder of a bundle."""
    format: str | None = None
    """Of a bundle, the format to run, or None for its first."""
    base: Path | None = None
    """With checkpoint "base": which one, or None for the newest."""
    episodes: int = 200
    """Number of episodes."""
    json: Path | None = None
    """File for the result, or None."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`EvaluateOptions`."""
    add_task_arguments(parser)
    parser.add_argument("--num_envs", type=positive_int, help="number of parallel worlds")
    parser.add_argument(
        "--checkpoint", metavar="latest|base|PATH|BUNDLE", help="what to evaluate (default: %(default)s)"
    )
    parser.add_argument("--format", metavar="NAME", help="of a bundle, the format to run (default: its first)")
    parser.add_argument("--base", type=Path, metavar="PATH", help="with --checkpoint base: which (default: the newest)")
    parser.add_argument("--episodes", type=positive_int, help="episodes (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="F", help="file to write the result to")


def run(options: EvaluateOptions, overrides: list[str]) -> dict[str, Any]:
    """Evaluate and print the table.

    Returns:
        What ``--json`` writes.

    Raises:
        ZprlError: If what is to be evaluated does not exist or belongs to another task, or the file cannot be written.
    """
    from zprl.deploy.load import is_bundle, open_bundle
    from zprl.evaluation.comparison import compare
    from zprl.evaluation.report import flat_result, result_table
    from zprl.evaluation.rollout import Evaluator, run_all
    from zprl.runs.find import find_checkpoint, resolve_base
    from zprl.runs.session import TaskSession
    from zprl.runs.steered import load_policies
    from zprl.utils.files import atomic_json_dump

    check_writable("--json", options.json)
    bundle = None
    if is_bundle(options.checkpoint):
        bundle = open_bundle(options.checkpoint, options.format)
    elif options.format is not None:
        raise ZprlError(
            f"--format chooses a file of a bundle, and {options.checkpoint} is none; name a bundle's folder."
        )
    checkpoint, base = None, None
    if bundle is None and options.checkpoint != "base":
        checkpoint = find_checkpoint(options.checkpoint, options.task, overrides)
    session = TaskSession(options.task, options.device, overrides, options.num_envs, checkpoint=checkpoint)
    seed = session.agent_cfg.evaluation.seed if options.seed is None else options.seed
    if bundle is not None:
        if bundle.contract.task != options.task:
            raise ZprlError(
                f"the bundle {bundle.folder} belongs to task {bundle.contract.task}, not to {options.task}; pass "
                f"--task {bundle.contract.task}."
            )
    elif options.checkpoint == "base":
        base = resolve_base(options.base, options.task)
    with session.launched(options.viz), session.environment() as env:
        if bundle is not None:
            planners = bundle.planners(env.spec)
            execute_steps, shape = bundle.contract.control.execute_steps, None
            backend, noise = f"bundle/{bundle.kind}", bundle.contract.control.initial_noise.rule
            source, env_steps = str(bundle.folder), bundle.contract.provenance.environment_steps
        else:
            loaded = load_policies(session, env.spec, checkpoint, base)
            planners = (
                {"base": loaded.base} if loaded.steered is None else {"base": loaded.base, "steered": loaded.steered}
            )
            execute_steps, shape = loaded.base_policy.execute_steps, loaded.noise_shape
            backend, noise = loaded.base_policy.backend, loaded.base_policy.initial_noise
            source, env_steps = str(checkpoint.path if checkpoint else base), checkpoint.env_steps if checkpoint else 0
        outcomes = run_all(Evaluator(env, execute_steps), planners, options.episodes, seed, shape)
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
    result = flat_result(report, options.task, source, options.episodes, seed)
    result["initial_noise"] = noise
    for key, results in (("outcomes", [*outcomes.values()][-1]), ("base_outcomes", outcomes.get("base"))):
        result[key] = results and {"success": results.successes, "steps": results.steps}
    if options.json is not None:
        atomic_json_dump(result, options.json)
        print(f"written to {options.json}")
    return result


COMMAND = Command(__doc__, EvaluateOptions, add_arguments, run)
