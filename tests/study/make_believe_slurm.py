# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The commands of Slurm that submitit uses, on this machine alone: NAME FOLDER ARGUMENTS.

For each job the folder holds its state, the id of its first process, whose group has them all, and its script. Unlike
Slurm's, ``scancel`` also does what other causes do: ``--requeue JOB`` and ``--lose JOB``.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

NAME, FOLDER, ARGUMENTS = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]


def begin(job):
    """Start a job's script, and what notes how it ends."""
    (FOLDER / f"{job}.state").write_text("RUNNING")
    again = [sys.executable, "-S", __file__, "run", FOLDER, job]
    nowhere = subprocess.DEVNULL
    subprocess.Popen(again, start_new_session=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)


def sbatch(script):
    """Put a script into the queue, which is empty."""
    text = Path(script).read_text()
    if "--partition=nowhere" in text:
        sys.exit("sbatch: error: invalid partition specified: nowhere")
    job = str(1000 + len(list(FOLDER.glob("*.sh"))))
    (FOLDER / f"{job}.sh").write_text(text)
    begin(job)
    print(f"Submitted batch job {job}")


def run(job):
    """Run a job until it ends."""
    (FOLDER / f"{job}.pid").write_text(str(os.getpid()))
    tasks = {"SLURM_JOB_ID": job, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}
    places = {"SLURM_JOB_NODELIST": "here", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    ended = subprocess.run(["bash", FOLDER / f"{job}.sh"], env={**os.environ, **tasks, **places})
    (FOLDER / f"{job}.state").write_text("FAILED" if ended.returncode else "COMPLETED")


def srun(*arguments):
    """Run a command with its output in files."""
    values = dict(itertools.pairwise(arguments))
    job = os.environ["SLURM_JOB_ID"]
    for descriptor, name in ((1, "--output"), (2, "--error")):
        file = os.open(values[name].replace("%j", job).replace("%t", "0"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
    command = arguments[arguments.index("--error") + 2 :]
    os.execv(command[0], command)


def sacct(*arguments):
    """Print the states of jobs."""
    print("JobID|State|NodeList")
    for job in (word for option, word in itertools.pairwise(arguments) if option == "-j"):
        if (FOLDER / f"{job}.state").exists():
            print(f"{job}|{(FOLDER / f'{job}.state').read_text()}|here")


def processes_of(job):
    """Return the ids of all processes of a job but the one that notes how it ends."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has just ended
            if f"SLURM_JOB_ID={job}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def scancel(*arguments):
    """End a job, as its user does or for other causes."""
    *how, job = arguments
    keeper = int((FOLDER / f"{job}.pid").read_text())
    state = {"--requeue": "REQUEUED", "--lose": "OUT_OF_MEMORY"}.get(how[0] if how else "", "CANCELLED by 0")
    for number in (signal.SIGKILL,) if how else (signal.SIGTERM, signal.SIGKILL):
        for process in (keeper, *processes_of(job)) if number == signal.SIGKILL else processes_of(job):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        deadline = time.monotonic() + 5
        while processes_of(job) and time.monotonic() < deadline:
            time.sleep(0.05)
    (FOLDER / f"{job}.state").write_text(state)
    if state == "REQUEUED":
        begin(job)


globals()[NAME](*ARGUMENTS)
