# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Processes of a study, with small commands in place of training runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zprl.study.launchers.launcher import Job
from zprl.study.launchers.local import LocalLauncher
from zprl.study.scheduler import last_line, run_jobs
from zprl.utils.errors import ZprlError
from zprl.utils.outputs import exclusive


def python(code):
    return lambda: [sys.executable, "-c", code]


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def alive(pid):
    """Return whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_failing_job_does_not_stop_the_others(tmp_path, capsys):
    finished = []
    jobs = [
        Job("good", python("print('fine')"), tmp_path / "a" / "log", finish=lambda: finished.append("good")),
        Job(
            "bad",
            python("import sys; print('10%\\r20%'); print('error: no.', file=sys.stderr); sys.exit(2)"),
            tmp_path / "b" / "log",
            finish=lambda: finished.append("bad"),
        ),
        Job("later", python("print('too')"), tmp_path / "c" / "log", finish=lambda: finished.append("later")),
    ]
    failures = run_jobs(jobs, LocalLauncher(1, {}), "test", poll_interval=0.01)
    assert failures == {"bad": "status 2: error: no."}
    assert finished == ["good", "later"]
    assert (tmp_path / "c" / "log").read_text() == "too\n"
    out = capsys.readouterr()
    assert "FAILED bad, status 2: error: no." in out.out
    assert "3/3 checkpoints" in out.err


def test_a_job_that_is_killed_has_failed(tmp_path):
    """As by the kernel when memory runs out."""
    killed = python("import os, signal; print('half done', flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    assert run_jobs([Job("a", killed, tmp_path / "log")], LocalLauncher(1, {}), "test") == {"a": "SIGKILL: half done"}


def test_no_more_run_at_once_than_asked_for(tmp_path):
    """The first two of five jobs wait for each other, and each counts those that run."""
    code = """
import pathlib, sys, time
here, name = pathlib.Path(sys.argv[1]), sys.argv[2]
(here / f"{name}.running").touch()
(here / f"{name}.seen").touch()
while name in ("job0", "job1") and not ((here / "job0.seen").exists() and (here / "job1.seen").exists()):
    time.sleep(0.01)
time.sleep(0.1)
print(len(list(here.glob("*.running"))))
(here / f"{name}.running").unlink()
"""
    commands = [[sys.executable, "-c", code, str(tmp_path), f"job{i}"] for i in range(5)]
    jobs = [Job(f"job{i}", lambda i=i: commands[i], tmp_path / f"{i}.log") for i in range(5)]
    assert run_jobs(jobs, LocalLauncher(2, {}), "test", poll_interval=0.01) == {}
    counts = [int((tmp_path / f"{i}.log").read_text()) for i in range(5)]
    assert max(counts) <= 2


def test_jobs_run_on_one_thread(tmp_path):
    job = Job("a", python("import os; print(os.environ['OMP_NUM_THREADS'])"), tmp_path / "log")
    run_jobs([job], LocalLauncher(1, {}), "test")
    assert last_line(tmp_path / "log") == "1"


def test_a_command_is_made_when_its_job_starts(tmp_path):
    """A run begins at the checkpoint that is there then."""
    made = []

    def prepare(name):
        made.append((name, sorted(path.name for path in tmp_path.glob("*.done"))))
        return [sys.executable, "-c", f"open({str(tmp_path / name)!r} + '.done', 'w')"]

    jobs = [Job(name, lambda name=name: prepare(name), tmp_path / f"{name}.log") for name in ("a", "b")]
    run_jobs(jobs, LocalLauncher(1, {}), "test", poll_interval=0.01)
    assert made == [("a", []), ("b", ["a.done"])]


STUDY = """
import sys
from pathlib import Path
from zprl.study.launchers.launcher import Job
from zprl.study.launchers.local import LocalLauncher
from zprl.study.scheduler import run_jobs
from zprl.utils.errors import run_cli
from zprl.utils.outputs import exclusive

folder = Path(sys.argv[1])
code = '''
import os, pathlib, sys, time
run, slow = pathlib.Path(sys.argv[1]), sys.argv[2] == "slow"
with (run.parent / (run.name + ".starts")).open("a") as file:
    file.write(str(os.getpid()) + " ")
while slow and not (run.parent / "go").exists():
    time.sleep(0.01)
run.touch()
'''
names = ["quick", "slow0", "slow1"]
jobs = [
    Job(name, lambda name=name: [sys.executable, "-c", code, str(folder / name), name[:4]], folder / f"{name}.log")
    for name in names
    if not (folder / name).exists()
]

def main():
    with exclusive(folder, "another study", "wait", 10.0) as lock:
        run_jobs(jobs, LocalLauncher(2, {}), "test", [lock], poll_interval=0.01)

run_cli(main)
"""


def start_study(folder):
    return subprocess.Popen([sys.executable, "-c", STUDY, str(folder)], stderr=subprocess.PIPE, text=True)


def starts(folder, name):
    path = folder / f"{name}.starts"
    return [int(line) for line in path.read_text().split()] if path.is_file() else []


def begun(tmp_path):
    """Start a study and wait until one run is done and two are in flight."""
    study = start_study(tmp_path)
    wait_until(lambda: (tmp_path / "quick").exists() and starts(tmp_path, "slow0") and starts(tmp_path, "slow1"))
    return study, [starts(tmp_path, name)[0] for name in ("slow0", "slow1")]


def test_a_killed_study_takes_its_runs_along_and_goes_on_with_those_in_flight(tmp_path):
    study, children = begun(tmp_path)
    assert all(alive(pid) for pid in children)
    study.kill()
    study.wait()
    wait_until(lambda: not any(alive(pid) for pid in children))
    assert not (tmp_path / "slow0").exists()
    (tmp_path / "go").touch()
    again = start_study(tmp_path)
    assert again.wait(timeout=60) == 0
    assert (tmp_path / "slow0").exists()
    assert (tmp_path / "slow1").exists()
    assert [len(starts(tmp_path, name)) for name in ("quick", "slow0", "slow1")] == [1, 2, 2]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_study_that_is_asked_to_stop_stops_its_runs(tmp_path, number, status):
    study, children = begun(tmp_path)
    study.send_signal(number)
    _, err = study.communicate(timeout=60)
    assert study.returncode == status
    assert "Traceback" not in err
    assert not any(alive(pid) for pid in children)


def exclusively(folder, patience=0.0):
    return exclusive(folder, "another study", "wait", patience)


def test_two_studies_do_not_write_to_one_folder(tmp_path):
    with exclusively(tmp_path), pytest.raises(ZprlError, match="another study is writing"), exclusively(tmp_path):
        pass
    with exclusively(tmp_path):
        pass


def test_the_lock_lasts_as_long_as_a_process_of_the_study(tmp_path):
    with exclusively(tmp_path) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    try:
        with pytest.raises(ZprlError, match="another study"), exclusively(tmp_path):
            pass
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    with exclusively(tmp_path, 5.0):
        pass
