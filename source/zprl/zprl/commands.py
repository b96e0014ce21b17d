# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the scripts do, as functions of their parsed arguments."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl import artifacts
from zprl.errors import ZprlError
from zprl.session import TaskSession

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnvCfg

    from zprl.rl.checkpoint import SteeringCheckpoint


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
        path = artifacts.demonstrations_path(args.task, cfg, session.env_cfg, expert_cfg_of(args.task))
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
        path = Path(args.output) if args.output else artifacts.base_policy_path(args.task, session.agent_cfg, dataset)
        session.pretrain(dataset, path)
        with session.environment() as env:
            session.check_bottleneck(env, path)
    return path


def train(args: argparse.Namespace, overrides: list[str]) -> dict[str, Any]:
    """Run ``scripts/train.py``; return what ``result.json`` holds."""
    from zprl.rl.checkpoint import find_checkpoint
    from zprl.rl.methods import DEFAULT_ALGORITHM, DEFAULT_METHOD

    start = time.perf_counter()
    method, algorithm = args.method or DEFAULT_METHOD, args.algo or DEFAULT_ALGORITHM
    checkpoint = None
    if args.checkpoint is not None:
        checkpoint = find_checkpoint(args.checkpoint, args.task, overrides)
        for option, given, theirs in (
            ("--method", args.method, checkpoint.method),
            ("--algo", args.algo, checkpoint.algorithm),
        ):
            if given not in (None, theirs):
                raise ZprlError(
                    f"the checkpoint {checkpoint.path} is of {option} {theirs}, not {given}; drop {option}."
                )
    session = TaskSession(args.task, args.device, overrides, args.num_envs, args.seed, method, algorithm, checkpoint)
    if checkpoint is not None:
        path = checkpoint.path
        if checkpoint.layout.task != args.task:
            raise ZprlError(
                f"the checkpoint {path} belongs to task {checkpoint.layout.task}, not to {args.task}; pass --task "
                f"{checkpoint.layout.task}."
            )
        if args.base is not None or args.dataset_file is not None:
            raise ZprlError("--checkpoint continues a run with its own base policy; drop --base and --dataset_file.")
        session.adopt_run(checkpoint)
        if args.seed is not None:
            session.agent_cfg.seed = session.env_cfg.seed = args.seed
    if args.max_iterations is not None:
        session.agent_cfg.max_iterations = args.max_iterations
    run_dir = _chosen_run_dir(args.run_dir, checkpoint)
    with session.launched(args.viz):
        base = None if checkpoint is not None else _base_policy(session, args.base, args.dataset_file)
        return _train(session, base, checkpoint, run_dir, start)


def _chosen_run_dir(run_dir: str | None, checkpoint: SteeringCheckpoint | None) -> Path | None:
    """Return the folder that a run goes on in or that ``--run_dir`` names, or None for a new one."""
    if checkpoint is not None:
        if run_dir is not None and Path(run_dir).resolve() != checkpoint.path.parent.resolve():
            raise ZprlError(
                f"--checkpoint continues the run in {checkpoint.path.parent}, not in {run_dir}; drop --run_dir."
            )
        return checkpoint.path.parent
    if run_dir is None:
        return None
    path = Path(run_dir)
    if path.exists() and not path.is_dir():
        raise ZprlError(f"--run_dir {path} is a file; name a folder.")
    if (path / "run.json").exists() or artifacts.checkpoints(path):
        raise ZprlError(f"--run_dir {path} holds a run already; continue it with --checkpoint, or name another folder.")
    return path


def _base_policy(session: TaskSession, base: str | None, dataset_file: str | None) -> Path:
    """Return the base policy to steer, training it first if it is not there."""
    from zprl.policy import load_policy

    if base is not None:
        path = Path(base)
        load_policy(path)
        print(f"base policy: given {path}")
        return path
    dataset = session.demonstrations(dataset_file)
    path = artifacts.base_policy_path(session.task, session.agent_cfg, dataset)
    if path.is_file():
        print(f"base policy: found {path}")
    else:
        session.pretrain(dataset, path)
    return path


def _observe_last_states(cfg: ManagerBasedRLEnvCfg) -> None:
    """Let an environment observe what an episode ends with, which a replay buffer stores."""
    cfg.compute_final_obs = True


def _train(
    session: TaskSession,
    base: Path | None,
    checkpoint: SteeringCheckpoint | None,
    run_dir: Path | None,
    start: float,
) -> dict[str, Any]:
    from zprl.envs.layout import EnvLayout
    from zprl.evaluation.report import result_table
    from zprl.rl.manifest import write_run_files
    from zprl.rl.training import SteeringTrainer

    with session.environment(configure=_observe_last_states if session.agent_cfg.algo == "sac" else None) as env:
        layout = EnvLayout.of(session.task, env)
        if checkpoint is not None:
            layout.require_match(checkpoint.layout, f"the checkpoint {checkpoint.path}")
            policy, meta = session.adopt(checkpoint), checkpoint.policy_meta
        else:
            assert base is not None
            policy, meta = session.load_base(base, layout)
            if not base.with_suffix(".json").is_file():
                session.check_bottleneck(env, base)
        if run_dir is None:
            run_dir = artifacts.new_run_dir(session.agent_cfg.experiment_name, session.agent_cfg.run_name)
        trainer = SteeringTrainer(
            env,
            layout,
            policy,
            meta,
            session.agent_cfg,
            run_dir,
            {"physics": session.physics, "device": session.device},
        )
        if checkpoint is not None:
            trainer.resume(checkpoint)
            print(f"continuing {checkpoint.path} at {trainer.runner.env_steps:,} env steps")
        else:
            write_run_files(run_dir, session)  # now that nothing refuses the settings any more
            print(f"run: {run_dir}")
        print(
            f"{session.agent_cfg.algo.upper()} learns {trainer.steering.describe()}; policy step on "
            f"{trainer.step.backend}, initial noise {policy.cfg.initial_noise}"
        )
        steered = trainer.train()
        result = trainer.result(steered)
        result["total_minutes"] = (time.perf_counter() - start) / 60.0
        trainer.write_result(result)
    print()
    print(result_table(result))
    print(time_table(result))
    print(f"files: {run_dir}/ (learning_curve.png, result.json, checkpoints, TensorBoard)")
    return result


def time_table(result: dict[str, Any]) -> str:
    """Return two lines on where the time went."""
    split = ", ".join(f"{name} {100 * share:.1f}%" for name, share in result["time_split"].items())
    rate, bare = result["training_steps_per_second"], result["bare_steps_per_second"]
    return (
        f"reinforcement learning {result['minutes']:.1f} min: {split}; evaluations {result['evaluation_minutes']:.1f} "
        f"min; everything {result['total_minutes']:.1f} min\n"
        f"training {rate:,.0f} env steps/s, bare environment with random actions {bare:,.0f} ({100 * rate / bare:.0f}%)"
    )


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
    from zprl.evaluation.evaluate import evaluate_checkpoint

    return evaluate_checkpoint(args, overrides)


def export(args: argparse.Namespace, overrides: list[str]) -> Path:
    """Run ``scripts/export.py``; return the bundle."""
    from zprl.deploy.export import export as export_bundle

    return export_bundle(args, overrides)


def sim2real(args: argparse.Namespace, overrides: list[str]) -> list[dict[str, Any]]:
    """Run ``scripts/sim2real.py``; return its rows."""
    from zprl.deploy.sim2real import sim2real as run_bundle

    return run_bundle(args, overrides)


def trace_rollout(args: argparse.Namespace, overrides: list[str]) -> dict[str, int]:
    """Run ``scripts/trace_rollout.py``; return the number of waits by part of a chunk."""
    session = TaskSession(args.task, args.device, overrides, args.num_envs, args.seed)
    from zprl.envs import ChunkedVecEnv, EnvLayout
    from zprl.policy import make_policy_step_on
    from zprl.profiling.output import check_writable
    from zprl.profiling.waits import trace_rollout as trace
    from zprl.steering import make_steering

    check_writable({"trace": args.trace})
    base = Path(args.base) if args.base else artifacts.latest_base_policy(args.task)
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
    if sum(waits.values()) > waits["zprl.simulation"]:
        raise ZprlError("the host waits for the GPU outside of the simulator; the trace shows where.")
    return waits
