# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Processes by Slurm, a job of Slurm's for each, through submitit."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zprl.study.launchers.launcher import Job, import_extra
from zprl.study.launchers.process import run_process
from zprl.utils.errors import ZprlError, one_sentence
from zprl.utils.files import atomic_json_dump, load_json

_DEFAULTS = {"timeout_min": 24 * 60, "cpus_per_task": 1}
"""What is asked of Slurm for a job unless the options say otherwise."""

_SEVERAL_PROCESSES = ("nodes", "tasks_per_node", "slurm_nodes", "slurm_ntasks_per_node", "slurm_tasks_per_node")


@dataclass
class SlurmHandle:
    """A job that was given to Slurm."""

    submitted: Any
    """submitit's job."""
    log: Path
    """Log of the study's job; notes about it lie beside it."""
    over_since: float | None = None
    """Time at which Slurm was first seen to say that it is over, though it has not reported how it ended [s]."""


class SlurmLauncher:
    """Gives jobs to Slurm.

    A job that Slurm starts anew, since its machine failed or somebody needed it more, goes on at its last checkpoint.
    If the study is killed, its jobs run on, and the next study waits for them instead of starting them once more.

    Args:
        num_parallel: Jobs in Slurm's queue at once, or None for all.
        options: What submitit's ``AutoExecutor.update_parameters`` takes, such as ``timeout_min``, ``cpus_per_task``,
            ``gpus_per_node`` and ``slurm_partition``.
        folder: Folder for submitit's own files, which all machines share.
        cluster: submitit's executor; "local" runs the jobs on this machine, for tests.

    Raises:
        ZprlError: If submitit is not installed, this machine has no Slurm, or an option does not exist.
    """

    patience = 15.0
    """How long a job's report may take until a network file system shows it [s]."""
    cancelling = 45.0
    """How long a cancelled job may take to end; Slurm kills it after 30 s [s]."""

    def __init__(
        self,
        num_parallel: int | None,
        options: Mapping[str, Any],
        folder: Path,
        cluster: Literal["slurm", "local"] = "slurm",
    ) -> None:
        submitit = import_extra("submitit", "slurm")
        for name in _SEVERAL_PROCESSES:
            if name in options:
                raise ZprlError(f"--launcher slurm has no option '{name}': a run is one process; drop it.")
        python = f"{shlex.quote(sys.executable)} -P"  # so that no file of the working folder is imported
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster, slurm_python=python, local_python=python)
        except RuntimeError as error:
            raise ZprlError("--launcher slurm finds no srun on this machine; start it where Slurm is.") from error
        settings = {**_DEFAULTS, **options}
        try:
            self._executor.update_parameters(**settings)
        except (AssertionError, NameError, ValueError) as error:
            raise ZprlError(
                f"--launcher_options do not suit submitit ({one_sentence(error)}); give its parameters, such as "
                "timeout_min=600,slurm_partition=NAME."
            ) from error
        self.num_parallel = num_parallel
        self.threads: int = settings["cpus_per_task"]
        self._job_class = submitit.SlurmJob if cluster == "slurm" else submitit.LocalJob
        self._refusals = (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError)

    def start(self, job: Job, locks: Sequence[int]) -> SlurmHandle:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        if (left := self._left_running(job.log)) is not None:
            return left
        job.log.parent.mkdir(parents=True, exist_ok=True)
        self._executor.update_parameters(name="_".join(job.name.split()))
        try:
            submitted = self._executor.submit(_run_and_report, job.prepare, job.log.resolve(), Path.cwd())
        except self._refusals as error:
            raise ZprlError(
                f"Slurm does not take {job.name}: {one_sentence(error)}; change --launcher_options."
            ) from error
        atomic_json_dump({"job": submitted.job_id}, _record_of(job.log))
        return SlurmHandle(submitted, job.log)

    def _left_running(self, log: Path) -> SlurmHandle | None:
        """Return the job that a killed study has left in the queue or running, or None."""
        record = _record_of(log)
        if not record.is_file():
            return None
        job_id = load_json(record, "record of a job", {"job": str})["job"]
        handle = SlurmHandle(self._job_class(self._executor.folder, job_id), log)
        # Of a job of long ago Slurm knows nothing any more, and what has reported is about to end.
        is_over = handle.submitted.done(force_check=True) or handle.submitted.state == "UNKNOWN"
        return None if is_over or _reported_status(handle) is not None else handle

    def poll(self, handle: SlurmHandle) -> int | None:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        status = _reported_status(handle)
        if status is not None or not handle.submitted.done():
            return status
        now = time.monotonic()
        if handle.over_since is None:
            handle.over_since = now
        if now - handle.over_since < self.patience:
            return None
        with handle.log.open("a") as log:
            print(f"Slurm: {handle.submitted.state}; see {handle.submitted.paths.stderr}", file=log)
        return -signal.SIGKILL

    def stop(self, handles: Sequence[SlurmHandle]) -> None:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        left = list(handles)
        for handle in left:
            handle.submitted.cancel(check=False)
        deadline = time.monotonic() + self.cancelling
        while left and time.monotonic() < deadline:
            for handle in [handle for handle in left if handle.submitted.done(force_check=True)]:
                _record_of(handle.log).unlink(missing_ok=True)
                left.remove(handle)
            time.sleep(0.5)


def _record_of(log: Path) -> Path:
    """Return the file that tells a later study which job of Slurm's a job of the study is."""
    return log.with_suffix(".slurm.json")


def _report_of(log: Path) -> Path:
    """Return the file in which a job reports how its process has ended."""
    return log.with_suffix(".status.json")


def _reported_status(handle: SlurmHandle) -> int | None:
    """Return the exit status that a job has reported, or None; an earlier job's does not count."""
    path = _report_of(handle.log)
    if not path.is_file():
        return None
    report = load_json(path, "report of a job", {"job": str, "status": int})
    return report["status"] if report["job"] == handle.submitted.job_id else None


def _run_and_report(prepare: Callable[[], Sequence[str]], log: Path, folder: Path) -> None:
    """Run a job's process on the machine that Slurm chose, and report how it ended.

    It is reported in JSON, since submitit's results are pickles. A job that Slurm is going to start anew is left by
    SystemExit and reports nothing.
    """
    status = run_process(prepare, log, folder)
    job = import_extra("submitit", "slurm").JobEnvironment().job_id
    atomic_json_dump({"job": job, "status": status}, _report_of(log))
