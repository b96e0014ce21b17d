# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An exported bundle under the disturbances of a real robot, in the simulator: success and smoothness of each."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isaaclab.utils.seed import configure_seed

from zprl.commands.evaluate import BundlePolicies, run_all
from zprl.deploy.load import Bundle, open_bundle
from zprl.evaluation.report import format_table
from zprl.evaluation.rollout import Evaluator, episode_seed, preserved_random_state
from zprl.robustness.catalogue import DEFAULT_NAMES, parse_disturbances
from zprl.robustness.disturbances import Disturbance, Draws, Signal
from zprl.robustness.disturbed_worlds import EVENT_MODE
from zprl.robustness.plots import plot_robustness
from zprl.runs.session import TaskSession
from zprl.utils.errors import ZprlError, run_cli
from zprl.utils.files import atomic_json_dump, load_json

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.envs import EnvLayout

Row = dict[str, Any]
"""Result of one disturbance: ``name``, ``strength``, ``unit``, ``physics``, and the summaries ``base`` (None if the
format does not hold it) and ``steered``."""


class DisturbedEnv:
    """An environment whose signals are disturbed; everything else is the environment's.

    Args:
        env: The environment.
    """

    def __init__(self, env: ManagerBasedRLEnv) -> None:
        self._env = env
        self.signal = Signal()
        self.true_obs = torch.empty(0)
        """Undisturbed observations (N, D)."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset_to(self, state: Any, **options: Any) -> tuple[dict[str, Tensor], dict]:
        """See :meth:`ManagerBasedRLEnv.reset_to`."""
        obs, extras = self._env.reset_to(state, **options)
        return self._observed(obs), extras

    def step(self, action: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict]:
        """See :meth:`ManagerBasedRLEnv.step`."""
        self.signal.disturb(self._env)
        obs, *rest = self._env.step(self.signal.act(action))
        return self._observed(obs), *rest  # type: ignore[return-value]

    def _observed(self, obs: Any) -> dict[str, Tensor]:
        self.true_obs = obs["policy"].clone()
        return {"policy": self.signal.observe(self.true_obs)}


class DisturbedEvaluator(Evaluator):
    """Evaluates policies on the evaluation's initial states under a disturbance.

    Args:
        env: The environment, made with the disturbance's configuration.
        layout: The task's layout.
        execute_steps: Environment steps executed of each chunk.
        disturbance: The disturbance.
    """

    def __init__(self, env: ManagerBasedRLEnv, layout: EnvLayout, execute_steps: int, disturbance: Disturbance) -> None:
        self.disturbed = DisturbedEnv(env)
        super().__init__(self.disturbed, layout, execute_steps)  # type: ignore[arg-type]
        self.disturbance = disturbance

    def begin_wave(self, seed: int, episodes: range) -> None:
        """Draw the disturbance of each episode."""
        env = self.env
        steps = env.max_episode_length + self.execute_steps
        draws = Draws(seed, episodes, env.num_envs, steps, str(env.device))
        self.disturbed.signal = self.disturbance.start(draws, self.layout)
        if self.disturbance.changes_world:
            with preserved_random_state():
                for row, episode in enumerate(episodes):
                    configure_seed(episode_seed(seed + 3, episode))
                    ids = torch.tensor([row], device=env.device, dtype=torch.int32)
                    env.event_manager.apply(mode=EVENT_MODE, env_ids=ids)

    def ee_position(self, obs: Tensor) -> Tensor | None:
        """Return where the end effector is, not where a disturbed observation says it is."""
        return self.layout.ee_position(self.disturbed.true_obs)


def sim2real(args: argparse.Namespace, overrides: list[str]) -> list[Row]:
    """Run ``scripts/sim2real.py``: print the table, and write JSON and figure.

    Args:
        args: ``task``, ``device``, ``num_envs``, ``seed``, ``viz``, ``bundle``, ``format``, ``episodes``,
            ``disturbances``, ``json``, ``plot``.
        overrides: Hydra overrides.

    Raises:
        ZprlError: If the bundle does not fit the task, a disturbance is unknown, or an engine is not installed.
    """
    names = DEFAULT_NAMES if args.disturbances is None else args.disturbances
    chosen = parse_disturbances(names)
    for option in ("json", "plot"):
        path = getattr(args, option)
        if path and (Path(path).is_dir() or not Path(path).absolute().parent.is_dir()):
            raise ZprlError(f"--{option} {path} is not a file in an existing folder; name a file to write.")
    bundle = open_bundle(args.bundle, args.format)
    if bundle.contract.task != args.task:
        raise ZprlError(
            f"the bundle {bundle.folder} belongs to task {bundle.contract.task}, not to {args.task}; pass --task "
            f"{bundle.contract.task}."
        )
    chosen = _installed(chosen, explicit=args.disturbances is not None)
    here = {name: d for name, d in chosen.items() if d.physics is None}
    rows = run_disturbances(args, overrides, bundle, here)
    for name, disturbance in chosen.items():
        if disturbance.physics is not None:
            rows.append(_in_other_process(args, overrides, name, disturbance))
    print(robustness_table(rows))
    result = {
        "task": args.task,
        "bundle": str(args.bundle),
        "format": bundle.kind,
        "episodes": args.episodes,
        "seed": rows[0]["seed"],
        "rows": rows,
    }
    if args.json:
        atomic_json_dump(result, args.json)
        print(f"written to {args.json}")
    if args.plot:
        plot_robustness(args.plot, rows, f"{args.task}, {args.episodes} episodes per bar")
        print(f"written to {args.plot}")
    return rows


def run_disturbances(
    args: argparse.Namespace, overrides: list[str], bundle: Bundle, chosen: dict[str, Disturbance]
) -> list[Row]:
    """Evaluate a bundle under disturbances, in this process and on one engine.

    Args:
        args: See :func:`sim2real`.
        overrides: Hydra overrides.
        bundle: The bundle.
        chosen: Disturbances by name.
    """
    session = TaskSession(args.task, args.device, overrides, min(args.num_envs or args.episodes, args.episodes))
    seed = session.agent_cfg.evaluation.seed if args.seed is None else args.seed
    rows = []
    with session.launched(args.viz):
        for group in _by_world(chosen):
            with session.environment(configure=next(iter(group.values())).configure) as env:
                policies = BundlePolicies(session, env, bundle)
                planners = {k: p for k, p in (("base", policies.base), ("steered", policies.steered)) if p is not None}
                for name, disturbance in group.items():
                    print(f"{name}:", file=sys.stderr, flush=True)
                    evaluator = DisturbedEvaluator(
                        env, policies.layout, bundle.contract.control.execute_steps, disturbance
                    )
                    outcomes = run_all(evaluator, planners, args.episodes, seed)
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


def _in_other_process(args: argparse.Namespace, overrides: list[str], name: str, disturbance: Disturbance) -> Row:
    """Evaluate a bundle on another engine; two engines do not share a process."""
    overrides = [text for text in overrides if not text.startswith("physics=")] + [f"physics={disturbance.physics}"]
    with tempfile.TemporaryDirectory() as place:
        job, out = Path(place) / "job.json", Path(place) / "rows.json"
        job.write_text(json.dumps({"args": vars(args), "overrides": overrides, "name": name}))
        done = subprocess.run([sys.executable, "-m", __name__, str(job), str(out)])
        if done.returncode != 0:
            raise ZprlError(f"the disturbance {name} could not be run; see the message above.")
        return load_json(out, "result")


def main() -> None:
    """Run one disturbance for :func:`_in_other_process`."""
    job = json.loads(Path(sys.argv[1]).read_text())
    args = argparse.Namespace(**job["args"])
    with contextlib.redirect_stdout(sys.stderr):
        name = job["name"]
        rows = run_disturbances(
            args, job["overrides"], open_bundle(args.bundle, args.format), {name: parse_disturbances(name)[name]}
        )
    atomic_json_dump(rows[0], sys.argv[2])


if __name__ == "__main__":
    run_cli(main)
