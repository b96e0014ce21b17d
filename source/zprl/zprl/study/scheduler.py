# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs the jobs of a study: several at once, none twice."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zprl.study.launchers.launcher import Job, Launcher
from zprl.utils.progress import Progress

ZPRL = (sys.executable, "-P", "-m", "zprl")
"""Beginning of the command line of this project's processes; -P, so that no file of the working folder is imported."""


def run_jobs(
    jobs: Sequence[Job],
    launcher: Launcher[Any],
    description: str,
    locks: Sequence[int] = (),
    unit: str = "checkpoint",
    poll_interval: float = 0.5,
) -> dict[str, str]:
    """Run jobs in their order, several at once; one that fails does not stop the others.

    Ctrl-C, and what else interrupts this process, stops the processes.

    Args:
        jobs: The jobs, each with a name of its own.
        launcher: What runs them.
        description: What they do, for the line of progress.
        locks: What :func:`zprl.utils.outputs.exclusive` yielded, which processes on this machine inherit.
        unit: What the jobs' units are called.
        poll_interval: Time between two looks at the processes [s].

    Returns:
        Why each job failed, by the job's name: exit status or signal, and last line of the log.
    """
    waiting, running = list(jobs), dict[Job, Any]()
    num_parallel = launcher.num_parallel or len(jobs)
    failures: dict[str, str] = {}
    before = {job: job.done() for job in jobs}
    over: set[Job] = set()
    with Progress(sum(job.units - before[job] for job in jobs), description, unit) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < num_parallel:
                    job = waiting.pop(0)
                    running[job] = launcher.start(job, locks)
                time.sleep(poll_interval)
                for job, status in [(job, launcher.poll(handle)) for job, handle in running.items()]:
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
            launcher.stop(list(running.values()))
    return failures


def last_line(log: Path) -> str:
    """Return the last line of a log that says something, without what it overwrote on a terminal."""
    lines = log.read_text(errors="replace").replace("\r", "\n").splitlines() if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
