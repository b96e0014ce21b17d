# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train a steered policy: demonstrations, base policy and reinforcement learning, whatever is missing.

Example: python scripts/train.py --task Zprl-Lift-Franka --seed 1 agent.steering.scale=0.6
In several processes: torchrun --nproc_per_node=2 scripts/train.py --task Zprl-Lift-Franka
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.commands.options import Command, TaskOptions, add_task_arguments, positive_int
from zprl.utils import processes
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnvCfg

    from zprl.rl.checkpoint import SteeringCheckpoint
    from zprl.runs.session import TaskSession


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TaskOptions):
    """Options of the command."""

    method: str | None = None
    """What is learned, or None for the default or the checkpoint's."""
    algo: str | None = None
    """The learner, "ppo" or "sac", or None for the default or the checkpoint's."""
    num_envs: int | None = None
    """Number of worlds of all processes, or None for the task's own."""
    max_iterations: int | None = None
    """Iterations in total, or None for the configuration's."""
    base: Path | None = None
    """Base policy to steer, or None to train it if it is not there."""
    dataset_file: Path | None = None
    """Demonstrations, or None to collect them if they are not there."""
    run_dir: Path | None = None
    """Folder of the run, or None for a new one below logs/rsl_rl/."""
    checkpoint: str | None = None
    """Checkpoint to continue from, "latest" or a file, or None."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`TrainOptions`."""
    add_task_arguments(parser)
    parser.add_argument("--method", metavar="NAME", help="what is learned (default: zprl); docs/methods.md")
    parser.add_argument("--algo", metavar="ppo|sac", help="the learner (default: ppo)")
    parser.add_argument("--num_envs", type=positive_int, help="number of worlds, of all processes")
    parser.add_argument("--max_iterations", type=positive_int, help="iterations in total, also when continuing")
    parser.add_argument("--base", type=Path, metavar="PATH", help="base policy to steer instead of training one")
    parser.add_argument("--dataset_file", type=Path, metavar="F", help="demonstrations instead of collecting them")
    parser.add_argument(
        "--run_dir", type=Path, metavar="DIR", help="folder of the run (default: a new one below logs/rsl_rl/)"
    )
    parser.add_argument("--checkpoint", metavar="latest|PATH", help="checkpoint to continue from")


def run(options: TrainOptions, overrides: list[str]) -> dict[str, Any]:
    """Make what is missing, and train in one process or as one of several.

    Returns:
        What ``result.json`` holds.

    Raises:
        ZprlError: If the options do not go together, or do not fit the checkpoint or the number of processes.
    """
    from zprl.rl.methods import DEFAULT_ALGORITHM, DEFAULT_METHOD
    from zprl.runs.find import find_checkpoint
    from zprl.runs.session import TaskSession

    start = time.perf_counter()
    method, algorithm = options.method or DEFAULT_METHOD, options.algo or DEFAULT_ALGORITHM
    checkpoint = None
    if options.checkpoint is not None:
        checkpoint = find_checkpoint(options.checkpoint, options.task, overrides)
        for option, given, theirs in (
            ("--method", options.method, checkpoint.method),
            ("--algo", options.algo, checkpoint.algorithm),
        ):
            if given not in (None, theirs):
                raise ZprlError(
                    f"the checkpoint {checkpoint.path} is of {option} {theirs}, not {given}; drop {option}."
                )
        algorithm = checkpoint.algorithm
    _check_processes(algorithm, checkpoint)
    device = processes.own_device(options.device)
    session = TaskSession(
        options.task, device, overrides, options.num_envs, options.seed, method, algorithm, checkpoint
    )
    if checkpoint is not None:
        path = checkpoint.path
        if checkpoint.spec.task != options.task:
            raise ZprlError(
                f"the checkpoint {path} belongs to task {checkpoint.spec.task}, not to {options.task}; pass --task "
                f"{checkpoint.spec.task}."
            )
        if options.base is not None or options.dataset_file is not None:
            raise ZprlError("--checkpoint continues a run with its own base policy; drop --base and --dataset_file.")
        session.take_over_run(checkpoint)
        if options.seed is not None:
            session.agent_cfg.seed = session.env_cfg.seed = options.seed
    if options.max_iterations is not None:
        session.agent_cfg.max_iterations = options.max_iterations
    _check_shares(session)
    run_dir = _chosen_run_dir(options.run_dir, checkpoint)
    with session.launched(options.viz), processes.joined(session.device):
        base = None
        if checkpoint is None:
            base = processes.first_then_others(lambda: _base_policy(session, options.base, options.dataset_file))
        return _train(session, base, checkpoint, run_dir, start)


def _chosen_run_dir(run_dir: Path | None, checkpoint: SteeringCheckpoint | None) -> Path | None:
    """Return the folder that a run goes on in or that ``--run_dir`` names, or None for a new one."""
    from zprl.rl.checkpoint import checkpoints

    if checkpoint is not None:
        if run_dir is not None and run_dir.resolve() != checkpoint.path.parent.resolve():
            raise ZprlError(
                f"--checkpoint continues the run in {checkpoint.path.parent}, not in {run_dir}; drop --run_dir."
            )
        return checkpoint.path.parent
    if run_dir is None:
        return None
    if run_dir.exists() and not run_dir.is_dir():
        raise ZprlError(f"--run_dir {run_dir} is a file; name a folder.")
    if (run_dir / "run.json").exists() or checkpoints(run_dir):
        raise ZprlError(
            f"--run_dir {run_dir} holds a run already; continue it with --checkpoint, or name another folder."
        )
    return run_dir


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


def _base_policy(session: TaskSession, base: Path | None, dataset_file: Path | None) -> Path:
    """Return the base policy to steer, training it first if it is not there."""
    from zprl.policies import load_policy
    from zprl.runs.base_policy import find_or_collect, find_or_train

    if base is None:
        return find_or_train(session, find_or_collect(session, dataset_file))
    load_policy(base)
    print(f"base policy: given {base}")
    return base


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
    from zprl.policies import make_base_policy
    from zprl.rl.trainer import SteeringTrainer
    from zprl.runs import paths
    from zprl.runs.base_policy import check_bottleneck, load_base
    from zprl.runs.manifest import write_run_files

    num_envs = processes.share(session.env_cfg.scene.num_envs, "--num_envs")
    with session.environment(num_envs, lambda cfg: _configure_worlds(cfg, session.agent_cfg.algo)) as env:
        if checkpoint is not None:
            env.spec.require_match(checkpoint.spec, f"the checkpoint {checkpoint.path}")
            policy, meta, file = session.take_over_policy(checkpoint), checkpoint.policy_meta, checkpoint.base
        else:
            assert base is not None
            (policy, meta), file = load_base(session, base, env.spec), base

            def check_once() -> None:
                if not file.with_suffix(".json").is_file():
                    check_bottleneck(env, policy, meta, session.agent_cfg.evaluation, file)

            processes.first_then_others(check_once)
        if run_dir is None:
            new = paths.new_run_dir(session.agent_cfg.experiment_name, session.agent_cfg.run_name)
            folder: Path = processes.gather(new)[0]
        else:
            folder = run_dir
        base_policy = make_base_policy(policy, meta, session.device)
        settings = {"physics": session.physics, "device": session.device}
        trainer = SteeringTrainer(env, base_policy, file, session.agent_cfg, folder, settings)
        if checkpoint is not None:
            trainer.resume(checkpoint)
            print(f"continuing {checkpoint.path} at {trainer.runner.env_steps:,} env steps")
        else:
            if processes.is_first():
                write_run_files(folder, session)  # now that nothing refuses the settings any more
            print(f"run: {folder}")
        print(
            f"{session.agent_cfg.algo.upper()} learns {trainer.steering.describe()}; policy step on "
            f"{base_policy.backend}, initial noise {base_policy.initial_noise}"
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


def time_table(result: dict[str, Any]) -> str:
    """Return two lines on where the time went."""
    split = ", ".join(f"{name} {100 * share:.1f}%" for name, share in result["time_split"].items())
    rate, bare = result["training_steps_per_second"], result["bare_steps_per_second"]
    return (
        f"reinforcement learning {result['minutes']:.1f} min: {split}; evaluations {result['evaluation_minutes']:.1f} "
        f"min; everything {result['total_minutes']:.1f} min\n"
        f"training {rate:,.0f} env steps/s, bare environment with random actions {bare:,.0f} ({100 * rate / bare:.0f}%)"
    )


COMMAND = Command(
    __doc__,
    TrainOptions,
    add_arguments,
    run,
    after_interrupt="continue with --checkpoint latest",
    in_several_processes=True,
)
