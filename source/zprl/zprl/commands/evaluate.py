# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluate a checkpoint or an exported bundle: it and its base policy on the same initial states, deterministic.

Example: python scripts/evaluate.py --task Zprl-Lift-Franka --checkpoint latest --episodes 200 --json result.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option, positive_int
from zprl.utils.errors import ZprlError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(TaskOptions):
    """Options of the command."""

    num_envs: int | None = option("number of parallel worlds", None, type=positive_int)
    checkpoint: str = option("what to evaluate (default: %(default)s)", "latest", metavar="latest|base|PATH|BUNDLE")
    format: str | None = option(
        "of a bundle, the format to run (default: native or onnx; the others are programs)", None, metavar="NAME"
    )
    base: Path | None = option(
        "with --checkpoint base: which, a file or the folder of an imported one (default: the newest)",
        None,
        metavar="PATH",
    )
    episodes: int = option("episodes (default: %(default)s)", 200, type=positive_int)
    json: Path | None = option("file to write the result to", None, writes="file", metavar="F")


def run(options: EvaluateOptions, overrides: list[str]) -> dict[str, Any]:
    """Evaluate and print the table.

    Returns:
        What ``--json`` writes.

    Raises:
        ZprlError: If what is to be evaluated does not exist or belongs to another task, or the file cannot be written.
    """
    from zprl.deploy.load import Bundle, is_bundle, open_bundle
    from zprl.envs.windows import with_windows
    from zprl.evaluation.report import flat_result, result_table
    from zprl.evaluation.rollout import Evaluator, compare, run_all
    from zprl.runs.find import load_policies, open_policy
    from zprl.runs.session import TaskSession
    from zprl.spec import require_task
    from zprl.utils.files import atomic_json_dump

    if is_bundle(options.checkpoint):
        source = open_bundle(options.checkpoint, options.format)
        session = TaskSession(options.task, options.device, overrides, options.num_envs)
        require_task(options.task, source.contract.task, f"the bundle {source.folder}")
    elif options.format is not None:
        raise ZprlError(
            f"--format chooses a file of a bundle, and {options.checkpoint} is none; name a bundle's folder."
        )
    else:
        session, source = open_policy(
            options.checkpoint, options.base, options.task, options.device, overrides, options.num_envs
        )
    seed = session.agent_cfg.evaluation.seed if options.seed is None else options.seed
    with session.launched(options.viz), session.environment() as env:
        if isinstance(source, Bundle):
            control, planners, shape = source.contract.control, source.planners(env.spec), None
            execute_steps, backend, noise = control.execute_steps, f"bundle/{source.kind}", control.initial_noise.rule
            path, env_steps = source.folder, source.contract.provenance.environment_steps
        else:
            loaded = load_policies(session, env.spec, source)
            env = with_windows(env, loaded.base_policy.spec)
            base, planners, shape = loaded.base_policy, loaded.planners, loaded.base_policy.noise_shape
            execute_steps, backend, noise = base.execute_steps, base.backend, base.initial_noise
            path, env_steps = (source, 0) if isinstance(source, Path) else (source.path, source.env_steps)
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
    result = flat_result(report, options.task, str(path), options.episodes, seed)
    result["initial_noise"] = noise
    for key, results in (("outcomes", [*outcomes.values()][-1]), ("base_outcomes", outcomes.get("base"))):
        result[key] = results and {"success": results.successes, "steps": results.steps}
    try:
        if options.json is not None:  # before it is printed: whoever reads that may have gone
            atomic_json_dump(result, options.json)
    finally:
        print(result_table(report))
    if options.json is not None:
        print(f"written to {options.json}")
    return result


COMMAND = Command(__doc__, EvaluateOptions, run)
