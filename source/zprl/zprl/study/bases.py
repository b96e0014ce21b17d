# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The base policies that a study's runs share, found or trained as a run would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zprl.runs import paths
from zprl.runs.session import TaskSession
from zprl.study.planning import PlannedVariant
from zprl.study.scheduler import ZPRL, Job, run_jobs
from zprl.utils.errors import ZprlError


def shared_base_policies(
    planned: Sequence[PlannedVariant],
    dataset_file: Path | None,
    folder: Path,
    num_parallel: int,
    lock: int,
) -> dict[str, Path]:
    """Return each variant's base policy, training those that are not there; those of the same settings are one file.

    Args:
        planned: The variants.
        dataset_file: Demonstrations to learn from, or None for those of the settings.
        folder: Folder of the logs.
        num_parallel: Number of processes at once.
        lock: See :func:`zprl.study.scheduler.run_jobs`.

    Returns:
        Files by the variants' names.

    Raises:
        ZprlError: If one cannot be trained.
    """
    by_settings = {plan.base_overrides: plan for plan in reversed(planned)}
    collecting, learning, datasets = list[Job](), list[Job](), set[Path]()
    for plan in reversed(by_settings.values()):
        if find_base_policy(plan.session, dataset_file) is not None:
            continue
        # Of those that learn from the same demonstrations the first one collects them.
        dataset = _dataset(plan.session, dataset_file)
        jobs = learning if dataset in datasets else collecting
        datasets.add(dataset)
        jobs.append(_pretraining(plan, dataset_file, folder))
    for jobs in (collecting, learning):
        failures = run_jobs(jobs, num_parallel, "training base policies", lock, unit="job") if jobs else {}
        for name, line in failures.items():
            raise ZprlError(f"the {name} could not be trained ({line}); see the log in {folder}.")
    bases = {}
    for plan in planned:
        path = find_base_policy(plan.session, dataset_file)
        assert path is not None, "pre-training ended well, but its base policy is not where its settings say"
        bases[plan.variant.name] = path
    return bases


def find_base_policy(session: TaskSession, dataset_file: Path | None) -> Path | None:
    """Return the base policy of a session's settings, or None if it or its demonstrations are not there.

    Args:
        session: The session.
        dataset_file: Demonstrations that it learned from, or None for those of the settings.
    """
    dataset = _dataset(session, dataset_file)
    if not dataset.is_file():
        return None
    path = paths.base_policy_path(session.task, session.agent_cfg, dataset)
    return path if path.is_file() else None


def _dataset(session: TaskSession, dataset_file: Path | None) -> Path:
    from zprl.tasks.experts import expert_cfg_of

    if dataset_file is not None:
        return dataset_file
    cfg = session.agent_cfg.demonstrations
    return paths.demonstrations_path(session.task, cfg, session.env_cfg, expert_cfg_of(session.task))


def _pretraining(plan: PlannedVariant, dataset_file: Path | None, folder: Path) -> Job:
    command = [*ZPRL, "pretrain", "--task", plan.session.task]
    command += ["--device", plan.session.device, *plan.base_overrides]
    if dataset_file is not None:
        command += ["--dataset_file", str(dataset_file)]
    return Job(f"base policy of {plan.variant.name}", lambda: command, folder / f"base_{plan.variant.name}.log")
