# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the scripts do, as functions of their parsed arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.runs import paths
from zprl.runs.session import TaskSession
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    pass


def add_task_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all commands share, in Isaac Lab's style; what is left over are Hydra overrides."""
    parser.add_argument("--task", required=True, help="task id, such as Zprl-Lift-Franka")
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:N] (default: %(default)s)")
    parser.add_argument("--seed", type=seed_int, default=None, help="seed of the run")
    parser.add_argument(
        "--headless", action="store_true", help="accepted for Isaac Lab's sake: no window is the default"
    )
    parser.add_argument("--viz", "--visualizer", default=None, metavar="NAME", help="Isaac Lab visualizer to open")


def parse(parser: argparse.ArgumentParser, argv: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Parse arguments and Hydra overrides.

    Returns:
        The arguments and the overrides (``env.x=1``, ``agent.y=2``, ``physics=NAME``).
    """
    args, rest = parser.parse_known_args(argv)
    for text in rest:
        if text.startswith("-") or "=" not in text:
            parser.error(f"unrecognized argument: {text} (options start with --, overrides read name=value)")
    return args, rest


def positive_int(text: str) -> int:
    """Parse a positive whole number, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def seed_int(text: str) -> int:
    """Parse a seed that all random generators accept, for argparse."""
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 2^31 - 1")
    return value


def collect_demos(args: argparse.Namespace, overrides: list[str]) -> Path:
    """Run ``scripts/collect_demos.py``; return the data set."""
    session = TaskSession(args.task, args.device, overrides, seed=args.seed)
    from zprl.data.collection import expert_cfg_of

    cfg = session.agent_cfg.demonstrations
    cfg.num_demos, cfg.quality, cfg.seed = args.num_demos, args.quality, args.seed
    if args.dataset_file is None:
        path = paths.demonstrations_path(args.task, cfg, session.env_cfg, expert_cfg_of(args.task))
    else:
        path = Path(args.dataset_file)
    with session.launched(args.viz):
        session.collect(path, args.num_demos, args.quality, args.seed)
    return path


def pretrain(args: argparse.Namespace, overrides: list[str]) -> Path:
    """Run ``scripts/pretrain.py``; return the base policy."""
    session = TaskSession(args.task, args.device, overrides)
    if args.seed is not None:
        session.agent_cfg.pretrain.seed = args.seed
    with session.launched(args.viz):
        dataset = session.demonstrations(args.dataset_file)
        path = Path(args.output) if args.output else paths.base_policy_path(args.task, session.agent_cfg, dataset)
        session.pretrain(dataset, path)
        with session.environment() as env:
            session.check_bottleneck(env, path)
    return path


def train(args: argparse.Namespace, overrides: list[str]) -> dict[str, Any]:
    """Run ``scripts/train.py``; return what ``result.json`` holds."""
    from zprl.commands.train import train as run_training

    return run_training(args, overrides)


def study(args: argparse.Namespace, overrides: list[str], scripts: Path) -> int:
    """Run ``scripts/study.py``; return how many runs are missing.

    Args:
        args: The script's arguments.
        overrides: Hydra overrides of all runs.
        scripts: Folder of the scripts that the runs' processes are started with.
    """
    from zprl.study.study import run_study

    return run_study(args, overrides, scripts)


def evaluate(args: argparse.Namespace, overrides: list[str]) -> dict[str, Any]:
    """Run ``scripts/evaluate.py``; return what its JSON holds."""
    from zprl.commands.evaluate import evaluate_checkpoint

    return evaluate_checkpoint(args, overrides)


def export(args: argparse.Namespace, overrides: list[str]) -> Path:
    """Run ``scripts/export.py``; return the bundle."""
    from zprl.commands.export import export as export_bundle

    return export_bundle(args, overrides)


def sim2real(args: argparse.Namespace, overrides: list[str]) -> list[dict[str, Any]]:
    """Run ``scripts/sim2real.py``; return its rows."""
    from zprl.commands.sim2real import sim2real as run_bundle

    return run_bundle(args, overrides)


def trace_rollout(args: argparse.Namespace, overrides: list[str]) -> dict[str, int]:
    """Run ``scripts/trace_rollout.py``; return the number of waits by part of a chunk."""
    session = TaskSession(args.task, args.device, overrides, args.num_envs, args.seed)
    from zprl.envs import ChunkedVecEnv, EnvLayout
    from zprl.policies import make_policy_step_on
    from zprl.profiling.output import check_writable
    from zprl.profiling.waits import trace_rollout as trace
    from zprl.steering import make_steering

    check_writable({"trace": args.trace})
    base = Path(args.base) if args.base else paths.latest_base_policy(args.task)
    with session.launched(args.viz), session.environment() as env:
        policy, meta = session.load_base(base, EnvLayout.of(args.task, env))
        step = make_policy_step_on(policy, session.device)
        steering = make_steering(session.agent_cfg.steering, step, meta)
        chunked = ChunkedVecEnv(env, steering, policy.cfg.execute_steps, session.agent_cfg.step_discount)
        chunked.restart(session.agent_cfg.seed)
        waits = trace(chunked, args.chunks, args.trace)
    steps = args.chunks * policy.cfg.execute_steps
    where = ", ".join(f"{name.removeprefix('zprl.')} {count}" for name, count in waits.items())
    print(f"policy step on {step.backend}, {session.physics}, {session.device}")
    print(f"waits for the GPU in {args.chunks} chunks ({steps} environment steps): {where}")
    if sum(waits.values()) > waits["zprl.sim.isaaclab.launch"]:
        raise ZprlError("the host waits for the GPU outside of the simulator; the trace shows where.")
    return waits
