# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Prepares a study, runs it and writes its report."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zprl.policies import load_policy
from zprl.profiling.machine import describe_machine
from zprl.rl.checkpoint_files import checkpoints, iteration_of
from zprl.runs import paths
from zprl.runs.base_policy import dataset_path
from zprl.runs.foreign_data import own_form
from zprl.sim import isaaclab
from zprl.study.grid import ABLATIONS, Run, Variant, ablation_variants, expand, method_variants
from zprl.study.launchers import make_launcher
from zprl.study.launchers.launcher import Job, Launcher
from zprl.study.manifest import StudyManifest, VariantRecord, load_manifest
from zprl.study.options import StudyOptions
from zprl.study.planning import Budget, PlannedVariant, plan_variants
from zprl.study.run_analysis import analyse_runs
from zprl.study.scheduler import ZPRL, run_jobs
from zprl.study.summary_report import write_reports
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, load_json
from zprl.utils.outputs import check_folder, check_name, exclusive
from zprl.utils.provenance import command_line, git_commit


def run_study(options: StudyOptions, overrides: list[str]) -> int:
    """Run a study, or what is left of it, and write its report; return the number of runs that failed.

    What it does on each task lies in a folder of its own, as a study of that task alone does. The Hydra overrides are
    those of all runs.

    Raises:
        ZprlError: If the options make no sense, or a folder holds runs that these cannot be compared with.
    """
    tasks = chosen_tasks(options)
    name = check_name("--name", options.name or _default_name(options))
    folders = {task: paths.LOGS / "studies" / task / name for task in tasks}
    output = options.output or Path("docs/results") / name
    check_folder("--output", output)
    if options.report_only:
        write_reports([(load_manifest(folder), folder) for folder in folders.values()], output)
        return 0
    launcher = make_launcher(options.launcher, options.launcher_options, options.jobs, paths.LOGS / "studies")
    variants = _variants(options)
    expand(variants, options.seeds)  # refuses wrong seeds before anything is made
    planned, budget = plan_variants(tasks, variants, options, overrides)
    remedy = "wait for it or stop it, or choose another --name"
    with contextlib.ExitStack() as stack:
        locks = [stack.enter_context(exclusive(folder, "another study", remedy, 10.0)) for folder in folders.values()]
        bases = _base_policies(planned, options, folders, launcher, locks)
        manifests = {task: _manifest(task, options, name, overrides, planned, budget, bases) for task in tasks}
        for task, folder in folders.items():
            if (folder / "study.json").is_file():
                manifests[task].join(load_manifest(folder), folder)
        runs = [(task, run) for task, manifest in manifests.items() for run in manifest.runs]
        for task, manifest in manifests.items():
            manifest.jobs = launcher.num_parallel or len(runs)
            manifest.save(folders[task])
        where = ", ".join(map(str, folders.values()))
        print(f"study: {where}, {len(runs)} runs of {budget.env_steps:,} environment steps")
        commits = list(dict.fromkeys(commit for manifest in manifests.values() for commit in manifest.commits))
        if len(commits) > 1:
            print(f"note: the code has changed since this study was begun ({', '.join(commits)})")
        plans = {(plan.task, plan.variant.name): plan for plan in planned}
        # A study that is stopped early has seen every task.
        runs.sort(key=lambda task_and_run: options.seeds.index(task_and_run[1].seed))
        jobs = []
        for task, run in runs:
            folder, key = folders[task], (task, run.variant.name)
            if not _is_done(folder / run.name, budget.env_steps):
                jobs.append(_training(run, plans[key], bases[key], options, folder, launcher.threads))
        failures = run_jobs(jobs, launcher, "study", locks)
        for task, manifest in manifests.items():
            analyse_runs(manifest, folders[task])
    write_reports([(manifests[task], folder) for task, folder in folders.items()], output)
    return len(failures)


def chosen_tasks(options: StudyOptions) -> list[str]:
    """Return the ids of a study's tasks.

    Raises:
        ZprlError: If none or several of ``--task``, ``--tasks`` and ``--suite`` are given, there is no such suite, a
            task is named twice, or a file of one task is given for several.
    """
    if sum(given is not None for given in (options.task, options.tasks, options.suite)) != 1:
        raise ZprlError("a study is of one --task, of several --tasks or of a --suite; give one of the three.")
    if options.suite is not None:
        isaaclab.configure_runtime(isaaclab.check_device(options.device))
        tasks = isaaclab.tasks_of_suite(options.suite)
    else:
        tasks = list(options.tasks or [options.task or ""])
    for task in tasks:
        if tasks.count(task) > 1:
            raise ZprlError(f"--tasks names {task} twice; name each task once.")
    if len(tasks) > 1:
        for name, path in (("--base", options.base), ("--dataset_file", options.dataset_file)):
            if path is not None:
                raise ZprlError(f"{name} {path} is of one task, and the study of {len(tasks)}; drop it.")
    return tasks


def _default_name(options: StudyOptions) -> str:
    """Return the study's name if the user gives none."""
    compared = options.ablation or "methods"
    return compared if options.suite is None else f"{options.suite}_{compared}"


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
    task: str,
    options: StudyOptions,
    name: str,
    overrides: list[str],
    planned: list[PlannedVariant],
    budget: Budget,
    bases: Mapping[tuple[str, str], Path],
) -> StudyManifest:
    """Return what the study's folder of a task says."""
    ours = [plan for plan in planned if plan.task == task]
    records = []
    for plan in ours:
        base = bases[task, plan.variant.name]
        dataset, iterations = str(load_policy(base)[1]["dataset"]), plan.schedule.max_iterations
        records.append(VariantRecord(plan.variant, str(base), checksum(base), dataset, iterations, plan.settings()))
    session, commit = ours[0].session, git_commit()
    return StudyManifest(
        name=name,
        pinned={
            "task": task,
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
        launcher=options.launcher,
        machine=describe_machine(options.device, threads=1),
    )


def _base_policies(
    planned: list[PlannedVariant],
    options: StudyOptions,
    folders: Mapping[str, Path],
    launcher: Launcher[Any],
    locks: Sequence[int],
) -> dict[tuple[str, str], Path]:
    """Return the base policies by task and variant's name, training what is missing; equal settings share one."""
    if options.base is not None:
        return {(plan.task, plan.variant.name): options.base for plan in planned}

    def locate(plan: PlannedVariant) -> tuple[Path, Path | None]:
        """Return the demonstrations and, if both files are there, the base policy of a variant's settings."""
        given = options.dataset_file
        dataset = dataset_path(plan.session) if given is None else own_form(plan.session, given)
        if dataset.is_file():
            path = paths.base_policy_path(plan.task, plan.session.agent_cfg, dataset)
            return dataset, path if path.is_file() else None
        return dataset, None

    by_settings = {(plan.task, plan.base_overrides): plan for plan in reversed(planned)}
    collecting, learning, datasets = list[Job](), list[Job](), set[Path]()
    for plan in reversed(by_settings.values()):
        dataset, path = locate(plan)
        if path is not None:
            continue
        # Of those that learn from the same demonstrations the first one collects them.
        jobs = learning if dataset in datasets else collecting
        datasets.add(dataset)
        jobs.append(_pretraining(plan, options.dataset_file, folders[plan.task]))
    for jobs in (collecting, learning):
        failures = run_jobs(jobs, launcher, "training base policies", locks, unit="job") if jobs else {}
        for name, line in failures.items():
            folder = next(job.log.parent for job in jobs if job.name == name)
            raise ZprlError(f"the {name} could not be trained ({line}); see the log in {folder}.")
    bases = {}
    for plan in planned:
        _, path = locate(plan)
        assert path is not None, "pre-training ended well, but its base policy is not where its settings say"
        bases[plan.task, plan.variant.name] = path
    return bases


def _pretraining(plan: PlannedVariant, dataset_file: Path | None, folder: Path) -> Job:
    command = [*ZPRL, "pretrain", "--task", plan.task]
    command += ["--device", plan.session.device, *plan.base_overrides]
    if dataset_file is not None:
        command += ["--dataset_file", str(dataset_file)]
    name = plan.variant.name
    return Job(f"base policy of {plan.task}/{name}", lambda: command, folder / f"base_{name}.log")


def _training(run: Run, plan: PlannedVariant, base: Path, options: StudyOptions, folder: Path, threads: int) -> Job:
    """Return the job of a run, which begins where its folder says when it is started."""
    run_dir, timetable = folder / run.name, plan.schedule
    command = [
        *(*ZPRL, "train", "--task", plan.task, "--device", options.device),
        *("--method", run.variant.method, "--algo", run.variant.algorithm, "--seed", str(run.seed)),
        *(() if options.num_envs is None else ("--num_envs", str(options.num_envs))),
        *("--max_iterations", str(timetable.max_iterations)),
        *(*plan.overrides, *timetable.overrides(), *_thread_overrides(plan, threads)),
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

    return Job(
        f"{plan.task}/{run.name}",
        prepare,
        run_dir / "train.log",
        timetable.num_segments,
        segments_done,
        keep_last_checkpoint,
    )


def _thread_overrides(plan: PlannedVariant, threads: int) -> list[str]:
    """Give a run its share of the cores; the results do not depend on it."""
    options = {"mujoco": "env.sim.physics.solver_cfg.threads", "gymnasium": "env.workers"}
    option = options.get(plan.session.physics)
    if option is None or any(text.startswith(f"{option}=") for text in plan.overrides):
        return []
    return [f"{option}={threads}"]
