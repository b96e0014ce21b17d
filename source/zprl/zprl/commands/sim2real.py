# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Run an exported bundle in the simulator under what a real robot would do to it: base against steered policy.

Example: python scripts/sim2real.py --task Zprl-Lift-Franka --bundle lift_bundle --episodes 200 --plot sim2real.png
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.commands.options import Command, TaskOptions, add_task_arguments, check_writable, positive_int
from zprl.utils.errors import ZprlError, run_cli

if TYPE_CHECKING:
    from zprl.deploy.load import Bundle
    from zprl.robustness.disturbances import Disturbance
    from zprl.spec import TaskSpec

Row = dict[str, Any]
"""Result of one disturbance: ``name``, ``strength``, ``unit``, ``physics``, and the summaries ``base`` (None if the
format does not hold it) and ``steered``."""


@dataclass(frozen=True, kw_only=True)
class Sim2RealOptions(TaskOptions):
    """Options of the command."""

    bundle: Path
    """Folder of the bundle."""
    format: str | None = None
    """Format to run, or None for the bundle's first."""
    num_envs: int | None = None
    """Number of worlds, or None for one per episode."""
    episodes: int = 200
    """Number of episodes."""
    disturbances: str | None = None
    """Disturbances, "NAME" or "NAME=STRENGTH", separated by commas, or None for all of them."""
    json: Path | None = None
    """File for the result, or None."""
    plot: Path | None = None
    """PNG for the result, or None."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`Sim2RealOptions`."""
    add_task_arguments(parser)
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle that scripts/export.py wrote")
    parser.add_argument("--format", metavar="NAME", help="format to run (default: the bundle's first)")
    parser.add_argument("--num_envs", type=positive_int, help="number of parallel worlds")
    parser.add_argument("--episodes", type=positive_int, help="episodes (default: %(default)s)")
    parser.add_argument(
        "--disturbances",
        metavar="NAME[=STRENGTH],...",
        help="disturbances, see zprl/robustness/catalogue.py (default: all of them)",
    )
    parser.add_argument("--json", type=Path, metavar="F", help="file to write the result to")
    parser.add_argument("--plot", type=Path, metavar="F", help="PNG file to draw the result into")


def run(options: Sim2RealOptions, overrides: list[str]) -> list[Row]:
    """Print the table, write JSON and figure, and return the rows.

    Raises:
        ZprlError: If the bundle does not fit the task, a disturbance is unknown, or an engine is not installed.
    """
    from zprl.deploy.load import open_bundle
    from zprl.robustness.catalogue import DEFAULT_NAMES, parse_disturbances
    from zprl.robustness.plots import plot_robustness
    from zprl.utils.files import atomic_json_dump

    names = DEFAULT_NAMES if options.disturbances is None else options.disturbances
    chosen = parse_disturbances(names)
    check_writable("--json", options.json)
    check_writable("--plot", options.plot)
    bundle = open_bundle(options.bundle, options.format)
    if bundle.contract.task != options.task:
        raise ZprlError(
            f"the bundle {bundle.folder} belongs to task {bundle.contract.task}, not to {options.task}; pass --task "
            f"{bundle.contract.task}."
        )
    chosen = _installed(chosen, explicit=options.disturbances is not None)
    chosen = _reaching(chosen, bundle.spec, explicit=options.disturbances is not None)
    here = {name: d for name, d in chosen.items() if d.physics is None}
    rows = run_disturbances(options, overrides, bundle, here)
    for name, disturbance in chosen.items():
        if disturbance.physics is not None:
            rows.append(_in_other_process(options, overrides, name, disturbance))
    print(robustness_table(rows))
    result = {
        "task": options.task,
        "bundle": str(options.bundle),
        "format": bundle.kind,
        "episodes": options.episodes,
        "seed": rows[0]["seed"],
        "rows": rows,
    }
    if options.json is not None:
        atomic_json_dump(result, options.json)
        print(f"written to {options.json}")
    if options.plot is not None:
        plot_robustness(options.plot, rows, f"{options.task}, {options.episodes} episodes per bar")
        print(f"written to {options.plot}")
    return rows


def run_disturbances(
    options: Sim2RealOptions, overrides: list[str], bundle: Bundle, chosen: dict[str, Disturbance]
) -> list[Row]:
    """Evaluate a bundle under disturbances, in this process and on one engine.

    Args:
        options: Task, device, episodes and the like.
        overrides: Hydra overrides.
        bundle: The bundle.
        chosen: Disturbances by name.
    """
    from zprl.evaluation.rollout import run_all
    from zprl.robustness.evaluator import DisturbedEvaluator
    from zprl.runs.session import TaskSession

    session = TaskSession(
        options.task, options.device, overrides, min(options.num_envs or options.episodes, options.episodes)
    )
    seed = session.agent_cfg.evaluation.seed if options.seed is None else options.seed
    targets, taken = getattr(session.env_cfg, "disturbance_targets", None), bundle.contract.control.execute_steps
    rows = []
    with session.launched(options.viz):
        for group in _by_world(chosen):
            with session.environment(configure=next(iter(group.values())).configure) as env:
                planners = bundle.planners(env.spec)
                spec = env.spec.seen_by(observed.name for observed in bundle.spec.groups)
                for name, disturbance in group.items():
                    print(f"{name}:", file=sys.stderr, flush=True)
                    evaluator = DisturbedEvaluator(env, spec, taken, disturbance, targets)
                    outcomes = run_all(evaluator, planners, options.episodes, seed)
                    rows.append(
                        {
                            "name": name,
                            "strength": disturbance.strength(),
                            "unit": disturbance.unit,
                            "physics": session.physics,
                            "seed": seed,
                            **{k: outcomes[k].summary() if k in outcomes else None for k in ("base", "steered")},
                        }
                    )
    order = list(chosen)
    return sorted(rows, key=lambda row: order.index(row["name"]))


def robustness_table(rows: list[Row]) -> str:
    """Return the table of all disturbances."""
    from zprl.evaluation.report import format_table

    cells: list[list[str]] = [
        ["disturbance", "strength", "base (95% interval)", "steered (95% interval)", "jerk base", "jerk steered"]
    ]
    for row in rows:
        strength = "" if row["strength"] == 0 else f"{row['strength']:g} {row['unit']}".removesuffix(" 1")
        policies = [row["base"], row["steered"]]
        cells.append([row["name"].partition("=")[0], strength, *map(_success, policies), *(_jerk(p) for p in policies)])
    return f"{format_table(cells)}\nmean jerk in m/s^3, of successful episodes"


def _success(policy: dict[str, Any] | None) -> str:
    if policy is None:
        return "-"
    return f"{100 * policy['rate']:.1f}% [{100 * policy['low']:.1f}, {100 * policy['high']:.1f}]"


def _jerk(policy: dict[str, Any] | None) -> str:
    return "-" if policy is None or policy["jerk"] is None else f"{policy['jerk']:.1f}"


def _by_world(chosen: dict[str, Disturbance]) -> Iterator[dict[str, Disturbance]]:
    """Group disturbances by the environment that they need: one for all signals, one for each change of the world."""
    signals = {name: d for name, d in chosen.items() if not d.changes_world}
    if signals:
        yield signals
    for name, disturbance in chosen.items():
        if disturbance.changes_world:
            yield {name: disturbance}


def _installed(chosen: dict[str, Disturbance], explicit: bool) -> dict[str, Disturbance]:
    """Leave out engines that are not installed, with one line, or refuse them if they were asked for."""
    if importlib.util.find_spec("ovphysx") is not None:
        return chosen
    missing = [name for name, d in chosen.items() if d.physics == "ovphysx"]
    hint = "install it with `pip install --no-deps ovphysx==0.6.4.72118723 ovstage==0.2.1.385922`"
    if missing and explicit:
        raise ZprlError(f"the disturbance {missing[0]} needs ovphysx, which is not installed; {hint}.")
    for name in missing:
        print(f"left out: {name} needs ovphysx ({hint})", file=sys.stderr, flush=True)
    return {name: d for name, d in chosen.items() if name not in missing}


def _reaching(chosen: dict[str, Disturbance], spec: TaskSpec, explicit: bool) -> dict[str, Disturbance]:
    """Leave out what does not reach all that a policy observes, with one line, or refuse it if it was asked for."""
    from zprl.robustness.disturbances import require_disturbable

    left = {}
    for name, disturbance in chosen.items():
        try:
            require_disturbable(disturbance, spec)
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
    with tempfile.TemporaryDirectory() as place:
        job, out = Path(place) / "job.json", Path(place) / "rows.json"
        values = asdict(replace(options, disturbances=name, json=out, plot=None))
        job.write_text(json.dumps({"options": values, "overrides": overrides}, default=str))
        done = subprocess.run([sys.executable, "-P", "-m", __name__, str(job)])
        if done.returncode != 0:
            raise ZprlError(f"the disturbance {name} could not be run; see the message above.")
        return load_json(out, "result")


def main() -> None:
    """Run one disturbance for :func:`_in_other_process`."""
    from zprl.deploy.load import open_bundle
    from zprl.robustness.catalogue import parse_disturbances
    from zprl.utils.files import atomic_json_dump

    job = json.loads(Path(sys.argv[1]).read_text())
    options = Sim2RealOptions(**job["options"])
    options = replace(options, bundle=Path(options.bundle))
    name, out = options.disturbances, options.json
    assert name is not None and out is not None
    with contextlib.redirect_stdout(sys.stderr):
        chosen = {name: parse_disturbances(name)[name]}
        (row,) = run_disturbances(options, job["overrides"], open_bundle(options.bundle, options.format), chosen)
    atomic_json_dump(row, out)


COMMAND = Command(__doc__, Sim2RealOptions, add_arguments, run)

if __name__ == "__main__":
    run_cli(main)
