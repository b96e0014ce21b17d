# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Prepares a study, runs it and writes its report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from zprl.policies import load_policy
from zprl.profiling.machine import describe_machine
from zprl.rl.checkpoint import checkpoints, iteration_of
from zprl.runs import paths
from zprl.study.bases import shared_base_policies
from zprl.study.budget import Budget
from zprl.study.grid import ABLATIONS, Run, Variant, ablation_variants, expand, method_variants
from zprl.study.manifest import StudyManifest, VariantRecord, load_manifest
from zprl.study.options import StudyOptions
from zprl.study.planning import PlannedVariant, plan_variants
from zprl.study.report import write_report
from zprl.study.run_analysis import analyse_runs
from zprl.study.scheduler import ZPRL, Job, exclusive, run_jobs
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, load_json
from zprl.utils.provenance import command_line, git_commit


def study_dir(task: str, name: str) -> Path:
    """Return the folder of a study's runs."""
    return paths.LOGS / "studies" / task / name


def run_study(options: StudyOptions, overrides: list[str]) -> int:
    """Run a study, or what is left of it, and write its report.

    Args:
        options: What the study consists of.
        overrides: Hydra overrides of all runs.

    Returns:
        Number of runs that failed.

    Raises:
        ZprlError: If the options make no sense, or the study's folder holds runs that these cannot be compared with.
    """
    name = options.name or options.ablation or "methods"
    folder = study_dir(options.task, name)
    output = options.output or Path("docs/results") / name
    if options.report_only:
        write_report(load_manifest(folder), folder, output)
        return 0
    variants = _variants(options)
    expand(variants, options.seeds)  # refuses wrong seeds before anything is made
    planned, budget = plan_variants(
        variants, options.task, options.device, overrides, options.num_envs, options.budget, options.evaluations
    )
    with exclusive(folder) as lock:
        if options.base is None:
            bases = shared_base_policies(planned, options.dataset_file, folder, options.jobs, lock)
        else:
            bases = dict.fromkeys((variant.name for variant in variants), options.base)
        manifest = _manifest(options, name, overrides, planned, budget, bases)
        if (folder / "study.json").is_file():
            manifest.join(load_manifest(folder), folder)
        manifest.save(folder)
        print(f"study: {folder}, {len(manifest.runs)} runs of {budget.env_steps:,} environment steps")
        if len(manifest.commits) > 1:
            print(f"note: the code has changed since this study was begun ({', '.join(manifest.commits)})")
        plans = {plan.variant.name: plan for plan in planned}
        jobs = [
            _training(run, plans[run.variant.name], bases[run.variant.name], options, folder)
            for run in manifest.runs
            if not is_done(folder / run.name, budget.env_steps)
        ]
        failures = run_jobs(jobs, options.jobs, "study", lock)
        analyse_runs(manifest, folder)
    write_report(manifest, folder, output)
    return len(failures)


def is_done(run_dir: Path, env_steps: int) -> bool:
    """Return whether a run has its result and has used its budget.

    Args:
        run_dir: Folder of the run.
        env_steps: The budget in environment steps.
    """
    path = run_dir / "result.json"
    return path.is_file() and load_json(path, "result of a run")["environment_steps"] >= env_steps


def _variants(options: StudyOptions) -> list[Variant]:
    if (options.methods is None) == (options.ablation is None):
        raise ZprlError("a study compares either --methods or the values of an --ablation; give one of them.")
    if options.ablation is not None:
        variants = ablation_variants(options.ablation, options.values, options.algos or ["sac"])
        if ABLATIONS[options.ablation].shapes_base and options.base is not None:
            raise ZprlError(f"--ablation {options.ablation} trains a base policy for each value; drop --base.")
        return variants
    if options.values is not None:
        raise ZprlError("--values are those of an --ablation; drop them.")
    assert options.methods is not None
    variants, left_out = method_variants(options.methods, options.algos or ["ppo", "sac"])
    for line in left_out:
        print(line)
    return variants


def _manifest(
    options: StudyOptions,
    name: str,
    overrides: Sequence[str],
    planned: Sequence[PlannedVariant],
    budget: Budget,
    bases: dict[str, Path],
) -> StudyManifest:
    records = []
    for plan in planned:
        base = bases[plan.variant.name]
        dataset = str(load_policy(base)[1]["dataset"])
        records.append(
            VariantRecord(
                plan.variant, str(base), checksum(base), dataset, plan.schedule.max_iterations, plan.settings()
            )
        )
    session, commit = planned[0].session, git_commit()
    return StudyManifest(
        name=name,
        pinned={
            "task": options.task,
            "device": options.device,
            "physics": session.physics,
            "number of worlds": session.env_cfg.scene.num_envs,
            "ablation": options.ablation,
            "overrides": list(overrides),
            "budget": budget.env_steps,
            "evaluated at": budget.marks,
        },
        variants=records,
        seeds=list(options.seeds),
        commits=[] if commit is None else [commit],
        command=command_line(),
        jobs=options.jobs,
        machine=describe_machine(options.device, threads=1),
    )


def _training(run: Run, plan: PlannedVariant, base: Path, options: StudyOptions, folder: Path) -> Job:
    """Return the job of a run, which begins where its folder says when it is started."""
    run_dir, timetable = folder / run.name, plan.schedule
    command = [
        *(*ZPRL, "train", "--task", options.task, "--device", options.device),
        *("--method", run.variant.method, "--algo", run.variant.algorithm, "--seed", str(run.seed)),
        *(() if options.num_envs is None else ("--num_envs", str(options.num_envs))),
        *("--max_iterations", str(timetable.max_iterations)),
        *(*plan.overrides, *timetable.overrides(), *_thread_overrides(plan, options.jobs)),
    ]

    def prepare() -> list[str]:
        if found := checkpoints(run_dir):
            return [*command, "--checkpoint", str(found[-1])]
        if run_dir.exists():
            shutil.rmtree(run_dir)  # it was stopped before its first checkpoint
        return [*command, "--run_dir", str(run_dir), "--base", str(base)]

    def segments_done() -> int:
        found = checkpoints(run_dir)
        return iteration_of(found[-1]) // timetable.save_interval if found else 0

    def keep_last_checkpoint() -> None:
        for path in checkpoints(run_dir)[:-1]:
            path.unlink()  # of SAC they hold the replay buffer, which is large

    return Job(run.name, prepare, run_dir / "train.log", timetable.num_segments, segments_done, keep_last_checkpoint)


def _thread_overrides(plan: PlannedVariant, num_parallel: int) -> list[str]:
    """Share the cores among the runs; the results do not depend on it."""
    option = "env.sim.physics.solver_cfg.threads"
    if plan.session.physics != "mujoco" or any(text.startswith(f"{option}=") for text in plan.overrides):
        return []
    return [f"{option}={max(1, len(os.sched_getaffinity(0)) // num_parallel)}"]
