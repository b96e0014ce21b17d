# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Run an exported bundle in the simulator under what a real robot would do to it: base against steered policy.

Example: python scripts/sim2real.py --task Zprl-Lift-Franka --bundle lift_bundle --episodes 200 --plot sim2real.png
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option, positive_int
from zprl.utils.errors import ZprlError, run_cli

if TYPE_CHECKING:
    from zprl.deploy.load import Bundle
    from zprl.robustness.disturbances import Disturbance
    from zprl.runs.session import TaskSession
    from zprl.spec import TaskSpec

Row = dict[str, Any]
"""Result of one disturbance: ``name``, ``strength``, ``unit``, ``physics``, and the summaries ``base`` (None if the
format does not hold it) and ``steered``."""


@dataclass(frozen=True, kw_only=True)
class Sim2RealOptions(TaskOptions):
    """Options of the command."""

    bundle: Path = option("bundle that scripts/export.py wrote", metavar="DIR")
    format: str | None = option(
        "format to run (default: native or onnx; the others are programs)", None, metavar="NAME"
    )
    num_envs: int | None = option("number of parallel worlds", None, type=positive_int)
    episodes: int = option("episodes (default: %(default)s)", 200, type=positive_int)
    disturbances: str | None = option(
        "disturbances, of zprl/robustness/catalogue.py or the task's own (default: all of them)",
        None,
        metavar="NAME[=STRENGTH],...",
    )
    json: Path | None = option("file to write the result to", None, writes="file", metavar="F")
    plot: Path | None = option("PNG file to write the drawn result to", None, writes="file", metavar="F")


def run(options: Sim2RealOptions, overrides: list[str]) -> list[Row]:
    """Print the table, write JSON and figure, and return the rows.

    Raises:
        ZprlError: If the bundle does not fit the task, a disturbance is unknown, or an engine is not installed.
    """
    from zprl.deploy.load import open_bundle
    from zprl.spec import require_task

    bundle = open_bundle(options.bundle, options.format)
    require_task(options.task, bundle.contract.task, f"the bundle {bundle.folder}")
    session, chosen = _prepare(options, overrides)
    chosen = _runnable(chosen, bundle.spec, session.env_cfg, explicit=options.disturbances is not None)
    rows = run_disturbances(options, session, bundle, {name: d for name, d in chosen.items() if d.physics is None})
    try:
        for name, disturbance in chosen.items():
            if disturbance.physics is not None:
                rows.append(_in_other_process(options, overrides, name, disturbance))
    finally:  # what is done is not lost by what fails after it
        if rows:
            _report(options, bundle.kind, rows)
    return rows


def _report(options: Sim2RealOptions, kind: str, rows: list[Row]) -> None:
    """Write what the options ask for, and print the table whether or not that succeeds."""
    from zprl.robustness.plots import plot_robustness
    from zprl.utils.files import atomic_json_dump

    try:
        if options.json is not None:
            result = {
                "task": options.task,
                "bundle": str(options.bundle),
                "format": kind,
                "episodes": options.episodes,
                "seed": rows[0]["seed"],
                "rows": rows,
            }
            atomic_json_dump(result, options.json)
        if options.plot is not None:
            plot_robustness(options.plot, rows, f"{options.task}, {options.episodes} episodes per bar")
    finally:
        print(robustness_table(rows))
    for path in filter(None, (options.json, options.plot)):
        print(f"written to {path}")


def _prepare(options: Sim2RealOptions, overrides: list[str]) -> tuple[TaskSession, dict[str, Disturbance]]:
    """Return the task, and the disturbances that are asked for, of which it may bring some along."""
    from zprl.robustness.catalogue import disturbances_of, parse_disturbances
    from zprl.runs.session import TaskSession

    worlds = min(options.num_envs or options.episodes, options.episodes)
    session = TaskSession(options.task, options.device, overrides, worlds)
    session.require_isaaclab()
    return session, parse_disturbances(options.disturbances, disturbances_of(options.task))


def run_disturbances(
    options: Sim2RealOptions, session: TaskSession, bundle: Bundle, chosen: dict[str, Disturbance]
) -> list[Row]:
    """Evaluate a bundle under disturbances, in this process and on one engine.

    Args:
        options: Episodes, seed and the like.
        session: The task.
        bundle: The bundle.
        chosen: Disturbances by name.
    """
    from zprl.evaluation.rollout import run_all
    from zprl.robustness.evaluator import DisturbedEvaluator

    seed = session.agent_cfg.evaluation.seed if options.seed is None else options.seed
    targets, taken = getattr(session.env_cfg, "disturbance_targets", None), bundle.contract.control.execute_steps
    # All disturbances of signals share an environment, and each that changes the world needs one of its own.
    signals = {name: d for name, d in chosen.items() if not d.changes_world}
    worlds = [{name: d} for name, d in chosen.items() if d.changes_world]
    rows: dict[str, Row] = {}
    with session.launched(options.viz):
        for group in filter(None, [signals, *worlds]):
            with session.isaaclab_environment(configure=next(iter(group.values())).configure) as env:
                planners = bundle.planners(env.spec)
                spec = env.spec.seen_by(observed.name for observed in bundle.spec.groups)
                for name, disturbance in group.items():
                    print(f"{name}:", file=sys.stderr, flush=True)
                    evaluator = DisturbedEvaluator(env, spec, taken, disturbance, targets)
                    outcomes = run_all(evaluator, planners, options.episodes, seed)
                    rows[name] = {
                        "name": name,
                        "strength": disturbance.strength(),
                        "unit": disturbance.unit,
                        "physics": session.physics,
                        "seed": seed,
                        **{k: outcomes[k].summary() if k in outcomes else None for k in ("base", "steered")},
                    }
    return [rows[name] for name in chosen]


def robustness_table(rows: list[Row]) -> str:
    """Return the table of all disturbances."""
    from zprl.evaluation.report import format_table, number_cell, success_cell

    cells = [["disturbance", "strength", "base (95% interval)", "steered (95% interval)", "jerk base", "jerk steered"]]
    for row in rows:
        strength = "" if row["strength"] == 0 else f"{row['strength']:g} {row['unit']}".removesuffix(" 1")
        policies = [row["base"], row["steered"]]
        numbers = [*map(success_cell, policies), *(number_cell(policy, "jerk", 1) for policy in policies)]
        cells.append([row["name"].partition("=")[0], strength, *numbers])
    return f"{format_table(cells)}\nmean jerk in m/s^3, of successful episodes"


def _runnable(chosen: dict[str, Disturbance], spec: TaskSpec, env_cfg: Any, explicit: bool) -> dict[str, Disturbance]:
    """Leave out what is not installed, or does not fit the task or what a policy observes; refuse it if asked for."""
    from zprl.robustness.disturbances import require_disturbable

    left = {}
    for name, disturbance in chosen.items():
        try:
            if disturbance.physics == "ovphysx" and importlib.util.find_spec("ovphysx") is None:
                raise ZprlError(
                    f"the disturbance {name} needs ovphysx, which is not installed; run `make physx` in the ZPRL "
                    "repository, or install what its constraints-physx.txt lists."
                )
            require_disturbable(disturbance, spec)
            if disturbance.physics is None:
                disturbance.configure(copy.deepcopy(env_cfg))
            left[name] = disturbance
        except ZprlError as error:
            if explicit:
                raise
            print(f"left out: {name} ({error})", file=sys.stderr, flush=True)
    return left


def _in_other_process(options: Sim2RealOptions, overrides: list[str], name: str, disturbance: Disturbance) -> Row:
    """Evaluate a bundle on another engine; two engines do not share a process."""
    from zprl.utils.files import load_json

    overrides = [text for text in overrides if not text.startswith("physics=")] + [f"physics={disturbance.physics}"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "row.json"
        job = [asdict(replace(options, disturbances=name, json=place)), overrides]
        done = subprocess.run([sys.executable, "-P", "-m", __name__, json.dumps(job, default=str)])
        if done.returncode != 0:
            raise ZprlError(f"the disturbance {name} could not be run; see the message above.")
        return load_json(place, "result")


def main() -> None:
    """Run the one disturbance of :func:`_in_other_process`."""
    from zprl.deploy.load import open_bundle
    from zprl.utils.files import atomic_json_dump

    values, overrides = json.loads(sys.argv[1])
    options, name = Sim2RealOptions(**values), values["disturbances"]
    with contextlib.redirect_stdout(sys.stderr):
        bundle = open_bundle(options.bundle, options.format)
        session, chosen = _prepare(options, overrides)
        (row,) = run_disturbances(options, session, bundle, {name: chosen[name]})
    atomic_json_dump(row, Path(values["json"]))


COMMAND = Command(__doc__, Sim2RealOptions, run)

if __name__ == "__main__":
    run_cli(main)
