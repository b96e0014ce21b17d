# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""``scripts/study.py``: prepares a study, runs it and writes its report."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl import artifacts
from zprl.deploy.describe import git_commit
from zprl.errors import ZprlError
from zprl.files import checksum, load_json
from zprl.policy import load_policy
from zprl.policy.flow_policy_cfg import resolve_class
from zprl.profiling.machine import describe_machine
from zprl.session import TaskSession
from zprl.study.budget import Schedule, common_budget, schedule
from zprl.study.grid import ABLATIONS, Variant, ablation_variants, expand, method_variants
from zprl.study.manifest import StudyManifest, VariantRecord, load_manifest
from zprl.study.scheduler import Job, exclusive, run_jobs

if TYPE_CHECKING:
    from zprl.rl.runner_cfg import ZprlRunnerCfg

_BASE_OPTIONS = ("env.", "physics=", "presets=", "agent.policy.", "agent.pretrain.", "agent.demonstrations.")
"""Beginnings of the overrides that a base policy depends on."""

_SET_BY_THE_STUDY = ("agent.evaluation.interval", "agent.save_interval", "agent.max_iterations", "agent.seed")


def study_dir(task: str, name: str) -> Path:
    """Return the folder of a study's runs."""
    return artifacts.LOGS / "studies" / task / name


def run_study(args: argparse.Namespace, overrides: list[str], scripts: Path) -> int:
    """Run a study, or what is left of it, and write its report.

    Args:
        args: ``task``, ``device``, ``methods``, ``algos``, ``ablation``, ``values``, ``seeds``, ``budget``,
            ``evaluations``, ``num_envs``, ``jobs``, ``base``, ``dataset_file``, ``name``, ``output``, ``report_only``.
        overrides: Hydra overrides of all runs.
        scripts: Folder of the scripts that the runs' processes are started with.

    Returns:
        Number of runs that are missing because they failed.

    Raises:
        ZprlError: If the options make no sense, or the study's folder holds runs that these cannot be compared with.
    """
    from zprl.study.report import write_report

    name = args.name or args.ablation or "methods"
    folder = study_dir(args.task, name)
    output = Path(args.output or Path("docs/results") / name)
    if args.report_only:
        write_report(load_manifest(folder), folder, output)
        return 0
    variants = _variants(args)
    overrides = [f"agent.{text}" if text.startswith("policy.") else text for text in overrides]
    for text in overrides:
        if text.partition("=")[0] in _SET_BY_THE_STUDY:
            raise ZprlError(f"a study sets {text.partition('=')[0]} itself; use --budget, --evaluations and --seeds.")
    expand(variants, args.seeds)  # refuses wrong seeds before anything is made
    planned = _plan(args, variants, overrides)
    with exclusive(folder) as lock:
        bases = _base_policies(args, planned, overrides, scripts, folder, lock)
        manifest = _manifest(args, name, planned, bases, overrides)
        if (folder / "study.json").is_file():
            earlier = load_manifest(folder)
            manifest.require_match(earlier, folder)
            manifest.commits = [*earlier.commits, *(c for c in manifest.commits if c not in earlier.commits)]
        manifest.save(folder)
        if len(manifest.commits) > 1:
            print(f"note: the code has changed since this study was begun ({', '.join(manifest.commits)})")
        failures = run_jobs(_run_jobs(args, manifest, planned, overrides, scripts, folder), args.jobs, "study", lock)
        write_report(manifest, folder, output)
    return len(failures)


def _variants(args: argparse.Namespace) -> list[Variant]:
    if (args.methods is None) == (args.ablation is None):
        raise ZprlError("a study compares either --methods or the values of an --ablation; give one of them.")
    if args.ablation is not None:
        variants = ablation_variants(args.ablation, args.values, args.algos or ["sac"])
        if ABLATIONS[args.ablation].shapes_base and args.base is not None:
            raise ZprlError(f"--ablation {args.ablation} trains a base policy for each value; drop --base.")
        return variants
    if args.values is not None:
        raise ZprlError("--values are those of an --ablation; drop them.")
    variants, left_out = method_variants(args.methods, args.algos or ["ppo", "sac"])
    for line in left_out:
        print(line)
    return variants


@dataclass(frozen=True)
class _Planned:
    """A variant with the configuration that its runs will have."""

    variant: Variant
    session: TaskSession
    steps_per_iteration: int
    overrides: tuple[str, ...]

    @property
    def base_overrides(self) -> tuple[str, ...]:
        """Overrides that the variant's base policy depends on."""
        return tuple(text for text in self.overrides if text.startswith(_BASE_OPTIONS))


def _plan(args: argparse.Namespace, variants: Sequence[Variant], overrides: Sequence[str]) -> list[_Planned]:
    """Resolve every variant's configuration, which refuses wrong options before any process is started."""
    planned = []
    for variant in variants:
        given = (*overrides, *variant.overrides)
        session = TaskSession(
            args.task, args.device, given, args.num_envs, method=variant.method, algorithm=variant.algorithm
        )
        cfg = session.agent_cfg
        closed_loop = resolve_class(cfg.steering.class_type).closed_loop  # type: ignore[attr-defined]
        chunk = 1 if closed_loop else cfg.policy.execute_steps
        steps = cfg.num_steps_per_env * session.env_cfg.scene.num_envs * chunk
        planned.append(_Planned(variant, session, steps, given))
    return planned


# -- base policies


def _base_policies(
    args: argparse.Namespace,
    planned: Sequence[_Planned],
    overrides: Sequence[str],
    scripts: Path,
    folder: Path,
    lock: int,
) -> dict[str, Path]:
    """Return each variant's base policy by the variant's name, training those that are not there.

    Variants whose base policies have the same settings share one.
    """
    if args.base is not None:
        load_policy(Path(args.base))
        return {plan.variant.name: Path(args.base) for plan in planned}
    by_settings = {plan.base_overrides: plan for plan in planned}
    waves: dict[bool, list[Job]] = {True: [], False: []}
    datasets: set[str] = set()
    for given, plan in by_settings.items():
        if _find_base(plan.session, args.dataset_file) is not None:
            continue
        command = [
            *(sys.executable, str(scripts / "pretrain.py"), "--task", args.task, "--device", args.device),
            *(() if args.dataset_file is None else ("--dataset_file", args.dataset_file)),
            *given,
        ]
        # Of those that learn from the same demonstrations the first one collects them.
        dataset = str(_dataset(plan.session, args.dataset_file))
        first = dataset not in datasets
        datasets.add(dataset)
        name = f"base policy of {plan.variant.name}"
        waves[first].append(Job(name, lambda command=command: command, folder / f"base_{plan.variant.name}.log"))
    for jobs in waves.values():
        if jobs and (failures := run_jobs(jobs, args.jobs, "base policies", lock)):
            name, line = next(iter(failures.items()))
            raise ZprlError(f"the {name} could not be trained: {line.removeprefix('error: ')}")
    found = {given: _find_base(plan.session, args.dataset_file) for given, plan in by_settings.items()}
    bases: dict[str, Path] = {}
    for plan in planned:
        path = found[plan.base_overrides]
        assert path is not None, "pretrain.py ended well, but its base policy is not where its settings say"
        bases[plan.variant.name] = path
    for path in sorted(set(bases.values())):
        print(f"base policy: {path}")
    return bases


def _dataset(session: TaskSession, dataset_file: str | None) -> Path:
    from zprl.data.collection import expert_cfg_of

    if dataset_file is not None:
        return Path(dataset_file)
    cfg = session.agent_cfg.demonstrations
    return artifacts.demonstrations_path(session.task, cfg, session.env_cfg, expert_cfg_of(session.task))


def _find_base(session: TaskSession, dataset_file: str | None) -> Path | None:
    """Return the base policy of a session's settings if it is there; see ``commands.train``."""
    dataset = _dataset(session, dataset_file)
    if not dataset.is_file():
        return None
    path = artifacts.base_policy_path(session.task, session.agent_cfg, dataset)
    return path if path.is_file() else None


# -- manifest


def _manifest(
    args: argparse.Namespace, name: str, planned: Sequence[_Planned], bases: dict[str, Path], overrides: Sequence[str]
) -> StudyManifest:
    budget = common_budget(args.budget, args.evaluations, [plan.steps_per_iteration for plan in planned])
    records = []
    for plan in planned:
        base = bases[plan.variant.name]
        timetable = _schedule(plan, budget)
        records.append(
            VariantRecord(
                variant=plan.variant,
                base=str(base),
                base_checksum=checksum(base),
                dataset=str(load_policy(base)[1]["dataset"]),
                max_iterations=timetable.max_iterations,
                num_segments=timetable.num_segments,
                settings=_settings(plan.session.agent_cfg, plan.steps_per_iteration),
            )
        )
    first = planned[0].session
    return StudyManifest(
        name=name,
        pinned={
            "task": args.task,
            "device": args.device,
            "physics": first.physics,
            "number of worlds": first.env_cfg.scene.num_envs,
            "ablation": args.ablation,
            "overrides": list(overrides),
            "budget": budget.env_steps,
            "evaluated at": budget.marks,
        },
        variants=records,
        seeds=list(args.seeds),
        commits=[commit] if (commit := git_commit()) else [],
        command=shlex.join(["python", *sys.argv]),
        jobs=args.jobs,
        machine=describe_machine(args.device, threads=1),
    )


def _schedule(plan: _Planned, budget: Any) -> Schedule:
    return schedule(budget, plan.steps_per_iteration, plan.session.agent_cfg.save_interval)


def _settings(cfg: ZprlRunnerCfg, steps_per_iteration: int) -> dict[str, Any]:
    """Return the settings that a reader needs to judge a variant, fit for JSON."""
    algorithm = ("learning_rate", "critic_learning_rate", "num_learning_epochs", "clip_param", "entropy_coef")
    algorithm += ("updates_per_step", "batch_size", "init_alpha", "warmup_transitions")
    steering = {name: value for name, value in vars(cfg.steering).items() if name != "class_type"}
    return {
        **{f"agent.steering.{name}": value for name, value in steering.items()},
        **{
            f"agent.algorithm.{name}": getattr(cfg.algorithm, name)
            for name in algorithm
            if hasattr(cfg.algorithm, name)
        },
        "agent.step_discount": cfg.step_discount,
        "agent.policy.execute_steps": cfg.policy.execute_steps,
        "agent.policy.latent_dim": cfg.policy.latent_dim,
        "env steps per iteration": steps_per_iteration,
    }


# -- runs


def _run_jobs(
    args: argparse.Namespace,
    manifest: StudyManifest,
    planned: Sequence[_Planned],
    overrides: Sequence[str],
    scripts: Path,
    folder: Path,
) -> list[Job]:
    """Return a job for each run that is not done."""
    records = {record.variant.name: record for record in manifest.variants}
    plans = {plan.variant.name: plan for plan in planned}
    steps = {name: plan.steps_per_iteration for name, plan in plans.items()}
    budget = common_budget(args.budget, args.evaluations, steps.values())
    jobs = []
    for run in manifest.runs:
        record, plan = records[run.variant.name], plans[run.variant.name]
        run_dir = folder / run.name
        if is_done(run_dir, budget.env_steps):
            print(f"done already: {run.name}")
            continue
        timetable = _schedule(plan, budget)
        options = [
            *("--task", args.task, "--device", args.device, "--seed", str(run.seed)),
            *("--method", run.variant.method, "--algo", run.variant.algorithm),
            *(() if args.num_envs is None else ("--num_envs", str(args.num_envs))),
            *("--max_iterations", str(timetable.max_iterations)),
            *plan.overrides,
            *timetable.overrides(),
            *_thread_overrides(plan, args.jobs),
        ]
        train = [sys.executable, str(scripts / "train.py"), *options]

        def prepare(run_dir: Path = run_dir, train: list[str] = train, base: str = record.base) -> list[str]:
            return [*train, *_beginning(run_dir, Path(base))]

        def segments(run_dir: Path = run_dir, timetable: Schedule = timetable) -> int:
            return _iterations_done(run_dir) // timetable.save_interval

        jobs.append(Job(run.name, prepare, run_dir / "train.log", timetable.num_segments, segments))
    return jobs


def is_done(run_dir: Path, env_steps: int) -> bool:
    """Return whether a run has its result and has used its budget.

    Args:
        run_dir: Folder of the run.
        env_steps: The budget in environment steps.
    """
    path = run_dir / "result.json"
    return path.is_file() and load_json(path, "result of a run")["environment_steps"] >= env_steps


def _beginning(run_dir: Path, base: Path) -> list[str]:
    """Return where a run begins: at its latest checkpoint, or in its folder, which is emptied."""
    if found := artifacts.checkpoints(run_dir):
        return ["--checkpoint", str(found[-1])]
    if run_dir.exists():
        shutil.rmtree(run_dir)  # it was stopped before its first checkpoint
    return ["--run_dir", str(run_dir), "--base", str(base)]


def _iterations_done(run_dir: Path) -> int:
    found = artifacts.checkpoints(run_dir)
    return int(found[-1].stem.removeprefix("model_")) if found else 0


def _thread_overrides(plan: _Planned, jobs: int) -> list[str]:
    """Share the cores among the runs; the results do not depend on it."""
    option = "env.sim.physics.solver_cfg.threads"
    if plan.session.physics != "mujoco" or any(text.startswith(f"{option}=") for text in plan.overrides):
        return []
    return [f"{option}={max(1, len(os.sched_getaffinity(0)) // jobs)}"]
