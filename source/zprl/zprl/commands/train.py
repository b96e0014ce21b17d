# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What ``scripts/train.py`` does: makes what is missing, and trains in one process or as one of several."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.runs import paths
from zprl.runs.session import TaskSession
from zprl.utils import processes
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg

    from zprl.rl.checkpoint import SteeringCheckpoint


def train(args: argparse.Namespace, overrides: list[str]) -> dict[str, Any]:
    """Run ``scripts/train.py``.

    Args:
        args: ``task``, ``device``, ``seed``, ``viz``, ``method``, ``algo``, ``num_envs``, ``max_iterations``, ``base``,
            ``dataset_file``, ``checkpoint``, ``run_dir``.
        overrides: Hydra overrides.

    Returns:
        What ``result.json`` holds.

    Raises:
        ZprlError: If the options do not go together, or do not fit the checkpoint or the number of processes.
    """
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
        algorithm = checkpoint.algorithm
    _check_processes(algorithm, checkpoint)
    device = processes.own_device(args.device)
    session = TaskSession(args.task, device, overrides, args.num_envs, args.seed, method, algorithm, checkpoint)
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
    _check_shares(session)
    run_dir = _chosen_run_dir(args.run_dir, checkpoint)
    with session.launched(args.viz), processes.joined(session.device):
        base = None
        if checkpoint is None:
            base = processes.first_then_others(lambda: _base_policy(session, args.base, args.dataset_file))
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
    if (path / "run.json").exists() or paths.checkpoints(path):
        raise ZprlError(f"--run_dir {path} holds a run already; continue it with --checkpoint, or name another folder.")
    return path


def _check_processes(algorithm: str, checkpoint: SteeringCheckpoint | None) -> None:
    """Refuse a learner or a checkpoint that does not go with the number of processes."""
    count = processes.count()
    if algorithm == "sac" and count > 1:
        raise ZprlError(f"--algo sac learns in one process, not in {count}; start it without torchrun.")
    if checkpoint is not None and checkpoint.num_processes != count:
        how = f"torchrun --nproc_per_node={checkpoint.num_processes}" if checkpoint.num_processes > 1 else "no torchrun"
        raise ZprlError(
            f"{checkpoint.num_processes} process{'es' * (checkpoint.num_processes > 1)} made the checkpoint "
            f"{checkpoint.path}, and {count} would continue it to another result; start it with {how}."
        )


def _check_shares(session: TaskSession) -> None:
    """Refuse settings that several processes cannot share as one process would have them."""
    algorithm, count = session.agent_cfg.algorithm, processes.count()
    if count == 1:
        return
    transitions = processes.share(session.env_cfg.scene.num_envs, "--num_envs") * session.agent_cfg.num_steps_per_env
    if transitions % algorithm.num_mini_batches:
        raise ZprlError(
            f"{transitions} transitions of each process do not make agent.algorithm.num_mini_batches="
            f"{algorithm.num_mini_batches} equal parts; change --num_envs or agent.num_steps_per_env."
        )
    if algorithm.normalize_advantage_per_mini_batch:
        raise ZprlError(
            "agent.algorithm.normalize_advantage_per_mini_batch=true would normalise in each process by itself; set it "
            "to false or start one process."
        )


def _base_policy(session: TaskSession, base: str | None, dataset_file: str | None) -> Path:
    """Return the base policy to steer, training it first if it is not there."""
    from zprl.policies import load_policy

    if base is not None:
        path = Path(base)
        load_policy(path)
        print(f"base policy: given {path}")
        return path
    dataset = session.demonstrations(dataset_file)
    path = paths.base_policy_path(session.task, session.agent_cfg, dataset)
    if path.is_file():
        print(f"base policy: found {path}")
    else:
        session.pretrain(dataset, path)
    return path


def _configure_worlds(cfg: ManagerBasedRLEnvCfg, algorithm: str) -> None:
    """Adapt an environment to the learner and to this process."""
    if algorithm == "sac":
        cfg.compute_final_obs = True  # what an episode ends with, which a replay buffer stores
    # What is drawn once, when worlds are made, differs between the processes.
    cfg.seed = (cfg.seed + processes.rank()) % 2**31  # type: ignore[operator]


def _train(
    session: TaskSession,
    base: Path | None,
    checkpoint: SteeringCheckpoint | None,
    run_dir: Path | None,
    start: float,
) -> dict[str, Any]:
    from zprl.evaluation.report import result_table
    from zprl.rl.trainer import SteeringTrainer
    from zprl.runs.manifest import write_run_files
    from zprl.spec import EnvLayout

    num_envs = processes.share(session.env_cfg.scene.num_envs, "--num_envs")
    with session.environment(num_envs, lambda cfg: _configure_worlds(cfg, session.agent_cfg.algo)) as env:
        layout = EnvLayout.of(session.task, env)
        if checkpoint is not None:
            layout.require_match(checkpoint.layout, f"the checkpoint {checkpoint.path}")
            policy, meta = session.adopt(checkpoint), checkpoint.policy_meta
        else:
            assert base is not None
            policy, meta = session.load_base(base, layout)
            processes.first_then_others(lambda: _check_bottleneck_once(session, env, base))
        if run_dir is None:
            new = paths.new_run_dir(session.agent_cfg.experiment_name, session.agent_cfg.run_name)
            folder: Path = processes.gather(new)[0]
        else:
            folder = run_dir
        trainer = SteeringTrainer(
            env,
            layout,
            policy,
            meta,
            session.agent_cfg,
            folder,
            {"physics": session.physics, "device": session.device},
        )
        if checkpoint is not None:
            trainer.resume(checkpoint)
            print(f"continuing {checkpoint.path} at {trainer.runner.env_steps:,} env steps")
        else:
            if processes.is_first():
                write_run_files(folder, session)  # now that nothing refuses the settings any more
            print(f"run: {folder}")
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
    print(f"files: {folder}/ (learning_curve.png, result.json, checkpoints, TensorBoard)")
    return result


def _check_bottleneck_once(session: TaskSession, env: ManagerBasedRLEnv, base: Path) -> None:
    if not base.with_suffix(".json").is_file():
        session.check_bottleneck(env, base)


def time_table(result: dict[str, Any]) -> str:
    """Return two lines on where the time went."""
    split = ", ".join(f"{name} {100 * share:.1f}%" for name, share in result["time_split"].items())
    rate, bare = result["training_steps_per_second"], result["bare_steps_per_second"]
    return (
        f"reinforcement learning {result['minutes']:.1f} min: {split}; evaluations {result['evaluation_minutes']:.1f} "
        f"min; everything {result['total_minutes']:.1f} min\n"
        f"training {rate:,.0f} env steps/s, bare environment with random actions {bare:,.0f} ({100 * rate / bare:.0f}%)"
    )
