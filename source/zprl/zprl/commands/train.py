# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train a steered policy: demonstrations, base policy and reinforcement learning, whatever is missing.

Example: python scripts/train.py --task Zprl-Lift-Franka --seed 1 agent.steering.scale=0.6
In several processes: torchrun --nproc_per_node=2 scripts/train.py --task Zprl-Lift-Franka
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.commands.options import Command, TaskOptions
from zprl.utils import processes
from zprl.utils.arguments import option, positive_int
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.rl.checkpoint import SteeringCheckpoint
    from zprl.runs.session import TaskSession


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TaskOptions):
    """Options of the command."""

    method: str | None = option("what is learned (default: the task's, zprl); docs/methods.md", None, metavar="NAME")
    algo: str | None = option("the learner (default: the task's)", None, metavar="ppo|sac")
    num_envs: int | None = option("number of worlds, of all processes", None, type=positive_int)
    max_iterations: int | None = option("iterations in total, also when continuing", None, type=positive_int)
    base: Path | None = option(
        "base policy to steer instead of training one: a file, or the folder of an imported one", None, metavar="PATH"
    )
    dataset_file: Path | None = option("demonstrations instead of collecting them", None, metavar="F")
    run_dir: Path | None = option(
        "folder to write the run to (default: a new one below logs/rsl_rl/)", None, writes="folder", metavar="DIR"
    )
    checkpoint: str | None = option("checkpoint, or run, to continue from", None, metavar="latest|PATH")


def run(options: TrainOptions, overrides: list[str]) -> dict[str, Any]:
    """Make what is missing, and train in one process or as one of several.

    Returns:
        What ``result.json`` holds.

    Raises:
        ZprlError: If the options do not go together, or do not fit the checkpoint or the number of processes.
    """
    from zprl.runs.find import find_checkpoint
    from zprl.runs.session import TaskSession
    from zprl.spec import require_task

    start = time.perf_counter()
    checkpoint = None
    if options.checkpoint is not None:
        checkpoint = find_checkpoint(options.checkpoint, options.task, overrides)
        given = {"--method": (options.method, checkpoint.method), "--algo": (options.algo, checkpoint.algorithm)}
        for name, (ours, theirs) in given.items():
            if ours not in (None, theirs):
                raise ZprlError(f"the checkpoint {checkpoint.path} is of {name} {theirs}, not {ours}; drop {name}.")
    device = processes.own_device(options.device)
    session = TaskSession(
        options.task, device, overrides, options.num_envs, options.seed, options.method, options.algo, checkpoint
    )
    _check_processes(session.agent_cfg.algo, checkpoint)
    if checkpoint is not None:
        require_task(options.task, checkpoint.spec.task, f"the checkpoint {checkpoint.path}")
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
        source = checkpoint or processes.first_then_others(
            lambda: _base_policy(session, options.base, options.dataset_file)
        )
        return _train(session, source, run_dir, start)


def _chosen_run_dir(run_dir: Path | None, checkpoint: SteeringCheckpoint | None) -> Path | None:
    """Return the folder that a run goes on in or that ``--run_dir`` names, or None for a new one."""
    from zprl.runs import paths
    from zprl.utils.outputs import check_folder

    if checkpoint is not None:
        check_folder("the run's folder", checkpoint.path.parent)
        if run_dir is not None and run_dir.resolve() != checkpoint.path.parent.resolve():
            raise ZprlError(
                f"--checkpoint continues the run in {checkpoint.path.parent}, not in {run_dir}; drop --run_dir."
            )
        return checkpoint.path.parent
    if run_dir is None:
        check_folder("the folder", paths.LOGS)
        return None
    _check_unused(run_dir)
    return run_dir


def _check_unused(run_dir: Path) -> None:
    """Refuse a folder that holds a run, unless it was stopped before its first checkpoint."""
    from zprl.rl.checkpoint_files import checkpoints

    if checkpoints(run_dir):
        raise ZprlError(
            f"--run_dir {run_dir} holds a run already; continue it with --checkpoint, or name another folder."
        )


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
    from zprl.policies.imported.policy import imported_file
    from zprl.runs.base_policy import find_or_collect, find_or_train
    from zprl.runs.imported import prepare

    if base is None:
        return find_or_train(session, find_or_collect(session, dataset_file))
    if (file := imported_file(base)) is not None:
        with session.environment(1) as env:
            path = prepare(session, file, env.spec)
        print(f"base policy: imported {base}")
        return path
    load_policy(base)
    print(f"base policy: given {base}")
    return base


def _train(
    session: TaskSession, source: SteeringCheckpoint | Path, run_dir: Path | None, start: float
) -> dict[str, Any]:
    """Continue a checkpoint, or steer the base policy of a file."""
    from zprl.envs.windows import with_windows
    from zprl.evaluation.report import result_table
    from zprl.policies import make_base_policy
    from zprl.rl.trainer import SteeringTrainer
    from zprl.runs.base_policy import check_bottleneck, load_base

    num_envs = processes.share(session.env_cfg.scene.num_envs, "--num_envs")
    with session.training_environment(num_envs) as env:
        policy, meta = load_base(session, source, env.spec)
        file = source if isinstance(source, Path) else source.base

        def check_once() -> None:
            if meta.get("bottleneck", True) and not file.with_suffix(".json").is_file():
                check_bottleneck(env, policy, meta, session.agent_cfg.evaluation, file)

        if isinstance(source, Path):
            processes.first_then_others(check_once)
        base_policy = make_base_policy(policy, meta, session.device)
        settings = {"physics": session.physics, "device": session.device}
        with _claimed_folder(session, source, run_dir) as folder:
            worlds = with_windows(env, base_policy.spec)
            trainer = SteeringTrainer(worlds, base_policy, file, session.agent_cfg, folder, settings, start)
            if isinstance(source, Path):
                if processes.is_first():
                    session.write_run_files(folder)  # now that nothing refuses the settings any more
                print(f"run: {folder}")
            else:
                trainer.resume(source)
                print(f"continuing {source.path} at {trainer.runner.env_steps:,} env steps")
            print(
                f"{session.agent_cfg.algo.upper()} learns {trainer.steering.describe()}; policy step on "
                f"{base_policy.backend}, initial noise {base_policy.initial_noise}; gradient steps on "
                f"{trainer.learner_backend}"
            )
            result = trainer.result(trainer.train())
            try:
                trainer.write_result(result)
            finally:
                print(f"\n{result_table(result)}\n{_time_table(result)}")
    print(f"files: {folder}/ (learning_curve.png, result.json, checkpoints, TensorBoard)")
    return result


@contextlib.contextmanager
def _claimed_folder(session: TaskSession, source: SteeringCheckpoint | Path, run_dir: Path | None) -> Iterator[Path]:
    """Let the first process hold the run's folder, for all of them."""
    from zprl.runs import paths

    with contextlib.ExitStack() as stack:

        def claim() -> Path | None:
            if not processes.is_first():
                return None
            names = session.agent_cfg.experiment_name, session.agent_cfg.run_name
            folder = stack.enter_context(paths.claimed_run_dir(run_dir, *names))
            if isinstance(source, Path):
                _check_unused(folder)  # once more: another training may have come first
            return folder

        yield processes.gather(processes.first_then_others(claim))[0]


def _time_table(result: dict[str, Any]) -> str:
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
    run,
    after_interrupt="continue with --checkpoint latest",
    in_several_processes=True,
)
