# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Prepares a study, runs it and writes its report."""

from __future__ import annotations

import os
from pathlib import Path

from zprl.policies import load_policy
from zprl.profiling.machine import describe_machine
from zprl.rl.checkpoint import checkpoints, iteration_of
from zprl.runs import paths
from zprl.runs.base_policy import dataset_path
from zprl.study.grid import ABLATIONS, Run, Variant, ablation_variants, expand, method_variants
from zprl.study.manifest import StudyManifest, VariantRecord, load_manifest
from zprl.study.options import StudyOptions
from zprl.study.planning import Budget, PlannedVariant, plan_variants
from zprl.study.report import write_report
from zprl.study.run_analysis import analyse_runs
from zprl.study.scheduler import ZPRL, Job, run_jobs
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, load_json
from zprl.utils.outputs import check_folder, check_name, exclusive
from zprl.utils.provenance import command_line, git_commit


def run_study(options: StudyOptions, overrides: list[str]) -> int:
    """Run a study, or what is left of it, and write its report; return the number of runs that failed.

    The Hydra overrides are those of all runs.

    Raises:
        ZprlError: If the options make no sense, or the study's folder holds runs that these cannot be compared with.
    """
    name = check_name("--name", options.name or options.ablation or "methods")
    folder = paths.LOGS / "studies" / options.task / name
    output = options.output or Path("docs/results") / name
    check_folder("--output", output)
    if options.report_only:
        write_report(load_manifest(folder), folder, output)
        return 0
    variants = _variants(options)
    expand(variants, options.seeds)  # refuses wrong seeds before anything is made
    planned, budget = plan_variants(variants, options, overrides)
    with exclusive(folder, "another study", "wait for it or stop it, or choose another --name", 10.0) as lock:
        bases = _base_policies(planned, options, folder, lock)
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
            if not _is_done(folder / run.name, budget.env_steps)
        ]
        failures = run_jobs(jobs, options.jobs, "study", lock)
        analyse_runs(manifest, folder)
    write_report(manifest, folder, output)
    return len(failures)


def _is_done(run_dir: Path, env_steps: int) -> bool:
    """Return whether a run has its result and has used its budget."""
    path = run_dir / "result.json"
    form = {"environment_steps": int}
    return path.is_file() and load_json(path, "result of a run", form)["environment_steps"] >= env_steps


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
    overrides: list[str],
    planned: list[PlannedVariant],
    budget: Budget,
    bases: dict[str, Path],
) -> StudyManifest:
    records = []
    for plan in planned:
        base = bases[plan.variant.name]
        dataset, iterations = str(load_policy(base)[1]["dataset"]), plan.schedule.max_iterations
        records.append(VariantRecord(plan.variant, str(base), checksum(base), dataset, iterations, plan.settings()))
    session, commit = planned[0].session, git_commit()
    return StudyManifest(
        name=name,
        pinned={
            "task": options.task,
            "device": options.device,
            "physics": session.physics,
            "number of worlds": session.env_cfg.scene.num_envs,
            "ablation": options.ablation,
            "overrides": overrides,
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


def _base_policies(planned: list[PlannedVariant], options: StudyOptions, folder: Path, lock: int) -> dict[str, Path]:
    """Return the base policies by the variants' names, training what is missing; equal settings share one."""
    if options.base is not None:
        return dict.fromkeys((plan.variant.name for plan in planned), options.base)

    def locate(plan: PlannedVariant) -> tuple[Path, Path | None]:
        """Return the demonstrations and, if both files are there, the base policy of a variant's settings."""
        dataset = options.dataset_file or dataset_path(plan.session)
        if dataset.is_file():
            path = paths.base_policy_path(plan.session.task, plan.session.agent_cfg, dataset)
            return dataset, path if path.is_file() else None
        return dataset, None

    by_settings = {plan.base_overrides: plan for plan in reversed(planned)}
    collecting, learning, datasets = list[Job](), list[Job](), set[Path]()
    for plan in reversed(by_settings.values()):
        dataset, path = locate(plan)
        if path is not None:
            continue
        # Of those that learn from the same demonstrations the first one collects them.
        jobs = learning if dataset in datasets else collecting
        datasets.add(dataset)
        jobs.append(_pretraining(plan, options.dataset_file, folder))
    for jobs in (collecting, learning):
        failures = run_jobs(jobs, options.jobs, "training base policies", lock, unit="job") if jobs else {}
        for name, line in failures.items():
            raise ZprlError(f"the {name} could not be trained ({line}); see the log in {folder}.")
    bases = {}
    for plan in planned:
        _, path = locate(plan)
        assert path is not None, "pre-training ended well, but its base policy is not where its settings say"
        bases[plan.variant.name] = path
    return bases


def _pretraining(plan: PlannedVariant, dataset_file: Path | None, folder: Path) -> Job:
    command = [*ZPRL, "pretrain", "--task", plan.session.task]
    command += ["--device", plan.session.device, *plan.base_overrides]
    if dataset_file is not None:
        command += ["--dataset_file", str(dataset_file)]
    return Job(f"base policy of {plan.variant.name}", lambda: command, folder / f"base_{plan.variant.name}.log")


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
