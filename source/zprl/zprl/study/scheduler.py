# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs the processes of a study: several at once, none twice, and none that outlives the study."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zprl.utils.progress import Progress

_PRCTL, _PR_SET_PDEATHSIG = ctypes.CDLL(None).prctl, 1
"""From linux/prctl.h."""

ZPRL = (sys.executable, "-P", "-m", "zprl")
"""Beginning of the command line of this project's processes; -P, so that no file of the working folder is imported."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Job:
    """A process to run."""

    name: str
    """Name for the user."""
    prepare: Callable[[], Sequence[str]]
    """Called right before the process starts; returns its command line."""
    log: Path
    """File that the process's output is appended to."""
    units: int = 1
    """Number of units that the job consists of."""
    done: Callable[[], int] = lambda: 0
    """Returns the number of units that are done."""
    finish: Callable[[], None] = lambda: None
    """Called after the process ended well."""


def run_jobs(
    jobs: Sequence[Job],
    num_parallel: int,
    description: str,
    lock: int | None = None,
    unit: str = "checkpoint",
    poll_interval: float = 0.5,
) -> dict[str, str]:
    """Run jobs in their order, several at once, on one thread each; one that fails does not stop the others.

    Ctrl-C, and what else interrupts this process, stops the processes. If it is killed, the kernel kills them.

    Args:
        jobs: The jobs.
        num_parallel: Number of processes at once.
        description: What they do, for the line of progress.
        lock: What :func:`zprl.utils.outputs.exclusive` yielded, which the processes inherit.
        unit: What the jobs' units are called.
        poll_interval: Time between two looks at the processes [s].

    Returns:
        Why each job failed, by the job's name: exit status or signal, and last line of the log.
    """
    waiting, running = list(jobs), dict[Job, subprocess.Popen[bytes]]()
    failures: dict[str, str] = {}
    before = {job: job.done() for job in jobs}
    over: set[Job] = set()
    with Progress(sum(job.units - before[job] for job in jobs), description, unit) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < num_parallel:
                    job = waiting.pop(0)
                    running[job] = _start(job, lock)
                time.sleep(poll_interval)
                for job, status in [(job, process.poll()) for job, process in running.items()]:
                    if status is None:
                        continue
                    del running[job]
                    over.add(job)
                    if status == 0:
                        job.finish()
                        progress.message(f"finished {job.name}")
                    else:
                        ending = f"status {status}" if status > 0 else signal.Signals(-status).name
                        failures[job.name] = f"{ending}: {last_line(job.log)}"
                        progress.message(f"FAILED {job.name}, {failures[job.name]} ({job.log})")
                units = sum((job.units if job in over else job.done()) - before[job] for job in jobs)
                names = ", ".join(job.name for job in running)
                note = f"{len(over)} of {len(jobs)} jobs over, {names}" if running else "all jobs over"
                progress.advance(max(0, units - progress.done), note)
        finally:
            _stop(list(running.values()))
    return failures


def last_line(log: Path) -> str:
    """Return the last line of a log that says something, without what it overwrote on a terminal."""
    lines = log.read_text(errors="replace").replace("\r", "\n").splitlines() if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _start(job: Job, lock: int | None) -> subprocess.Popen[bytes]:
    command = job.prepare()
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_ONE_THREAD},
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,  # Ctrl-C reaches the study alone, which then stops them
            preexec_fn=functools.partial(_die_with, os.getpid()),
        )


def _die_with(parent: int) -> None:
    """Ask the kernel, as a child's first act, to be killed when its parent is gone."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the question
        os._exit(1)


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + 10.0
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
