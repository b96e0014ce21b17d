# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The process of a job on the machine that it was given to."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from zprl.utils.errors import first_line

_PRCTL, _PR_SET_PDEATHSIG = ctypes.CDLL(None).prctl, 1
"""From linux/prctl.h."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

Process = subprocess.Popen[bytes]


def start_process(command: Sequence[str], log: Path, inherited: Sequence[int] = ()) -> Process:
    """Start a process on one thread, which the kernel kills if this one is gone.

    Args:
        command: Command line.
        log: File that its output is appended to; missing folders are made.
        inherited: File descriptors that it inherits.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_ONE_THREAD},
            pass_fds=tuple(inherited),
            start_new_session=True,  # Ctrl-C reaches the study alone, which then stops them
            preexec_fn=functools.partial(_die_with, os.getpid()),
        )


def _die_with(parent: int) -> None:
    """Ask the kernel, as a child's first act, to be killed when its parent is gone."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the question
        os._exit(1)
    # Slurm announces the end of a job's time to all its processes. This one is asked to stop by its parent.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def stop_processes(processes: Sequence[Process], patience: float = 10.0) -> None:
    """Ask processes to end, and kill those that have not after a while [s]."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + patience
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_process(prepare: Callable[[], Sequence[str]], log: Path, folder: Path, poll_interval: float = 0.2) -> int:
    """Run a job's process until it has ended, and return its exit status, that of a signal negative.

    Whatever interrupts this function stops the process. An error is noted in the log and has status 1, such as the one
    by which submitit announces the end of a job's time.

    Args:
        prepare: Returns the command line.
        log: File that its output is appended to.
        folder: Folder that it runs in, which relative paths start at.
        poll_interval: Time between two looks at the process [s].
    """
    parent = os.getppid()
    try:
        with contextlib.chdir(folder):
            process = start_process(prepare(), log)
        try:
            # Not process.wait(): what Ray raises in this thread, it sees between two of its own steps only. And Ray's
            # worker stays if Ray is killed and the worker's next parent is not the first process.
            while (status := process.poll()) is None:
                if os.getppid() != parent:
                    raise RuntimeError("what started the job is gone")
                time.sleep(poll_interval)
            return status
        finally:
            stop_processes([process])
    except Exception as error:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            print(first_line(error), file=file)
        return 1
