# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What every launcher does with small commands: on this machine, by submitit, by a make-believe Slurm and by Ray.

Those that need a package are skipped where it is not installed.
"""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zprl.study.launchers import make_launcher
from zprl.study.launchers.launcher import Job, Launcher, parse_options
from zprl.study.launchers.local import LocalLauncher
from zprl.study.launchers.ray import RayLauncher
from zprl.study.launchers.slurm import SlurmLauncher
from zprl.study.scheduler import run_jobs
from zprl.utils.errors import NotInstalledError, ZprlError

from .test_scheduler import alive, wait_until

patiently = functools.partial(wait_until, seconds=90.0)
"""Waits until something is so; clusters begin slowly."""

SLURM = Path(__file__).parent / "make_believe_slurm.py"


def job(name, code, folder, *arguments, **more):
    """Return a job that runs a line of Python."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return Job(name, functools.partial(list, command), folder / name / "train.log", **more)


def pid_of(path):
    patiently(lambda: path.exists() and path.read_text().strip().isdigit())
    return int(path.read_text())


LINGER = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(60)"
"""Writes its process id to a file and waits to be stopped."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Put a make-believe Slurm into the path of this process, and give the folder that it keeps its jobs in."""
    pytest.importorskip("submitit")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("sbatch", "srun", "sacct", "scancel"):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -S {SLURM} {name} {folder} "$@"\n')
        (folder / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield folder


@pytest.fixture(scope="module")
def ray_cluster():
    """Let a cluster of Ray's on this machine end with the module."""
    ray = pytest.importorskip("ray")
    yield
    ray.shutdown()


def make(name, folder, request) -> Launcher[Any]:
    if name == "local":
        return LocalLauncher(2, {})
    if name == "ray":
        request.getfixturevalue("ray_cluster")
        return RayLauncher(None, {"num_cpus": 0.5})
    if name == "slurm":
        request.getfixturevalue("slurm")
    else:
        pytest.importorskip("submitit")
    launcher = SlurmLauncher(None, {"timeout_min": 5}, folder / "jobs", "slurm" if name == "slurm" else "local")
    launcher.patience = 0.2
    return launcher


@pytest.fixture
def launcher(request, tmp_path):
    """Give a launcher of a kind."""
    return make(request.param, tmp_path, request)


@pytest.mark.parametrize("launcher", ["local", "submitit", "slurm", "ray"], indirect=True)
def test_jobs_end_well_badly_and_by_force(launcher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished = []
    here = Path()  # relative paths are those of the study, wherever a job runs
    jobs = [
        job(
            "good",
            "import os; print(os.getcwd(), os.environ['OMP_NUM_THREADS'])",
            here,
            finish=lambda: finished.append(1),
        ),
        job(
            "bad",
            "import sys; print('error: no.', file=sys.stderr); sys.exit(2)",
            here,
            finish=lambda: finished.append(2),
        ),
        job("killed", "import os; print('half done', flush=True); os.kill(os.getpid(), 9)", here),
        Job("lost", functools.partial(os.listdir, "nothing"), Path("lost/train.log")),
    ]
    jobs = jobs[:-1] if isinstance(launcher, LocalLauncher) else jobs
    failures = run_jobs(jobs, launcher, "test", poll_interval=0.05)
    assert failures["bad"] == "status 2: error: no."
    assert failures["killed"] == "SIGKILL: half done"
    assert finished == [1]
    assert (tmp_path / "good/train.log").read_text() == f"{tmp_path} 1\n"
    if len(jobs) == 4:
        assert failures["lost"].startswith("status 1: ") and "'nothing'" in failures["lost"]


@pytest.mark.parametrize("launcher", ["slurm", "ray"], indirect=True)
def test_a_study_that_is_interrupted_stops_its_jobs(launcher, tmp_path):
    def interrupt():
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt
        return 0

    with pytest.raises(KeyboardInterrupt):
        run_jobs([job("a", LINGER, tmp_path, tmp_path / "pid", done=interrupt)], launcher, "test", poll_interval=0.05)
    assert not alive(pid_of(tmp_path / "pid"))
    assert run_jobs([job("a", "pass", tmp_path)], launcher, "test", poll_interval=0.05) == {}, (
        "a later study begins anew"
    )


def run_study_apart(launcher, folder):
    """Start a process that gives a job to a launcher, kill it when the job runs, and return the job's process id."""
    code = f"""
import sys
from pathlib import Path
from tests.study.test_launchers import LINGER, RayLauncher, SlurmLauncher, job, run_jobs
folder = Path(sys.argv[1])
run_jobs([job("a", LINGER, folder, folder / "pid")], {launcher}, "test")
"""
    study = subprocess.Popen([sys.executable, "-c", code, folder], stderr=subprocess.DEVNULL)
    pid = pid_of(folder / "pid")
    assert alive(pid)
    study.kill()
    study.wait()
    return pid


def test_jobs_of_slurm_outlive_a_killed_study_and_are_waited_for(slurm, tmp_path, request):
    pid = run_study_apart("SlurmLauncher(None, {}, folder / 'jobs')", tmp_path)
    launcher = make("slurm", tmp_path, request)
    before = sorted(slurm.glob("*.pid"))
    again = job("a", "raise SystemExit('started once more')", tmp_path)
    handle = launcher.start(again, [])
    assert sorted(slurm.glob("*.pid")) == before
    assert launcher.poll(handle) is None and alive(pid)
    os.kill(pid, signal.SIGTERM)
    patiently(lambda: launcher.poll(handle) is not None)
    assert launcher.poll(handle) == -signal.SIGTERM
    assert run_jobs([again], launcher, "test", poll_interval=0.05) == {"a": "status 1: started once more"}


def test_a_job_that_slurm_starts_anew_prepares_anew(slurm, tmp_path, request):
    """As after the failure of a machine: it goes on at the checkpoint that is there then."""
    launcher = make("slurm", tmp_path, request)
    code = "import sys; print('resumed') if len(sys.argv) > 2 else exec(sys.argv[1])"

    def prepare():
        more = ["again"] if (tmp_path / "pid").exists() else []
        return [sys.executable, "-c", code, LINGER.replace("sys.argv[1]", repr(str(tmp_path / "pid"))), *more]

    handle = launcher.start(Job("a", prepare, tmp_path / "a" / "train.log"), [])
    pid = pid_of(tmp_path / "pid")
    subprocess.run([slurm / "scancel", "--requeue", handle.submitted.job_id], check=True)
    patiently(lambda: launcher.poll(handle) is not None)
    assert launcher.poll(handle) == 0 and not alive(pid)
    assert (tmp_path / "a" / "train.log").read_text() == "resumed\n"


def test_a_job_that_slurm_loses_has_failed(slurm, tmp_path, request):
    """As one that takes more memory than it asked for: all its processes are killed, and nothing is reported."""
    launcher = make("slurm", tmp_path, request)
    handle = launcher.start(job("a", LINGER, tmp_path, tmp_path / "pid"), [])
    pid = pid_of(tmp_path / "pid")
    subprocess.run([slurm / "scancel", "--lose", handle.submitted.job_id], check=True)
    patiently(lambda: launcher.poll(handle) is not None)
    assert launcher.poll(handle) == -signal.SIGKILL and not alive(pid)
    assert "Slurm: OUT_OF_MEMORY; see " in (tmp_path / "a" / "train.log").read_text()


def test_what_slurm_is_asked_for(slurm, tmp_path):
    launcher = SlurmLauncher(3, {"slurm_partition": "gpu", "timeout_min": 90, "cpus_per_task": 4}, tmp_path / "jobs")
    assert (launcher.num_parallel, launcher.threads) == (3, 4)
    asked = launcher._executor._executor._make_submission_file_text("command", "id")
    for line in ("--partition=gpu", "--time=90", "--cpus-per-task=4", "--nodes=1"):
        assert f"#SBATCH {line}\n" in asked
    assert "-P" in launcher._executor._executor._submitit_command_str.split()
    default = SlurmLauncher(None, {}, tmp_path / "jobs")._executor._executor._make_submission_file_text("command", "id")
    assert "#SBATCH --time=1440\n" in default


def test_a_job_that_slurm_refuses_ends_the_study(slurm, tmp_path):
    launcher = SlurmLauncher(None, {"slurm_partition": "nowhere"}, tmp_path / "jobs")
    with pytest.raises(ZprlError, match=r"Slurm does not take a: .*invalid partition.*; change --launcher_options\."):
        run_jobs([job("a", "pass", tmp_path)], launcher, "test")


def test_jobs_of_ray_end_with_a_killed_study(tmp_path, request):
    request.getfixturevalue("ray_cluster")
    RayLauncher(None, {})._connect()
    address = sys.modules["ray"].get_runtime_context().gcs_address
    pid = run_study_apart(f"RayLauncher(None, {{'address': {address!r}}})", tmp_path)
    patiently(lambda: not alive(pid))


def test_there_is_no_cluster_at_an_address(tmp_path):
    """In a process of its own, since Ray joins one cluster at a time."""
    pytest.importorskip("ray")
    code = "from tests.study.test_launchers import RayLauncher; RayLauncher(None, {'address': 'nowhere'})._connect()"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ZprlError: --launcher ray cannot join a cluster (" in refused.stderr.splitlines()[-1]


def test_a_process_does_not_outlive_what_started_its_job(tmp_path):
    """Also where this one's next parent is not the first process."""
    code = f"""
import functools, os, sys, time
from pathlib import Path
from zprl.study.launchers.process import run_process
command = [sys.executable, "-c", {LINGER!r}, "pid"]
if os.fork():
    while not (Path("pid").exists() and Path("pid").read_text().strip()):
        time.sleep(0.02)
    os._exit(0)
run_process(functools.partial(list, command), Path("log"), Path())
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    patiently(lambda: (tmp_path / "log").read_text() == "what started the job is gone\n")
    assert not alive(pid_of(tmp_path / "pid"))


def test_options_are_numbers_and_truth_values_where_they_look_so():
    given = ["timeout_min=60", "mem_gb=1.5", "slurm_exclusive=true", "slurm_account=a=b"]
    assert parse_options(given) == {"timeout_min": 60, "mem_gb": 1.5, "slurm_exclusive": True, "slurm_account": "a=b"}


@pytest.mark.parametrize(
    ("launcher", "options", "words"),
    [
        ("local", ["partition"], "has 'partition'; write key=value"),
        ("local", ["a=1", "a=2"], "gives a twice"),
        ("local", ["a=1"], "--launcher local has no option 'a'; it has none"),
        ("ray", ["gpus=1"], "--launcher ray has no option 'gpus'; it has accelerator_type, address, memory, num_cpus"),
        ("ray", ["num_gpus=many"], "num_gpus=many is of the wrong type for --launcher ray"),
        ("slurm", ["colour=red"], r"do not suit submitit \(Parameter 'colour' need.*\); give .*slurm_partition=NAME"),
        ("slurm", ["slurm_colour=red"], "Unknown argument 'colour'"),
        ("slurm", ["timeout_min=long"], 'do not suit submitit .*"timeout_min" expected type'),
        ("slurm", ["nodes=2"], "has no option 'nodes': a run is one process"),
    ],
)
def test_wrong_options_are_refused(launcher, options, words, tmp_path, request):
    if launcher != "local":
        request.getfixturevalue({"slurm": "slurm", "ray": "ray_cluster"}[launcher])
    with pytest.raises(ZprlError, match=words) as refusal:
        make_launcher(launcher, options, None, tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_machine_without_slurm(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ZprlError, match="finds no srun on this machine"):
        make_launcher("slurm", [], None, tmp_path)


@pytest.mark.parametrize(("launcher", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_package_that_is_missing_is_named_with_its_extra(launcher, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotInstalledError, match=rf"needs the package {package}; .*'zprl\[{launcher}\]'"):
        make_launcher(launcher, [], None, tmp_path)


def test_the_cores_are_shared_among_the_jobs_of_this_machine():
    cores = len(os.sched_getaffinity(0))
    assert (LocalLauncher(None, {}).num_parallel, LocalLauncher(None, {}).threads) == (cores, 1)
    assert LocalLauncher(1, {}).threads == cores
    assert LocalLauncher(2 * cores, {}).threads == 1
