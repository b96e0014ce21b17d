# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The bookkeeping of scripts/verify_gpu.sh, with programs that are a few lines of shell in place of the real ones."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
DRIVER_CHECKS = ["device", "run-cluster", "run-mma", "run-wgmma"]
DRIVER_CHECKS += [f"goal-{shape}-{batch}" for shape in "AB" for batch in (1, 64, 1024, 8192)]
SANITIZERS = [
    f"{tool}-{kernel}"
    for tool in ("memcheck", "racecheck", "synccheck", "initcheck")
    for kernel in ("cluster", "mma", "wgmma")
]
CHECKS = ["machine", *DRIVER_CHECKS, "tests", "cells-A", "cells-B", "ncu", "plans", "plans-wgmma"]
CHECKS += ["speed-mma-A", "speed-wgmma-A", "speed-mma-B", "speed-wgmma-B"]
CHECKS += ["rivals-A", "rivals-B", "training", "trace", *SANITIZERS, "rivals-compile"]

# What it runs itself it runs; the questions of the checks are answered as on a machine with a GPU and nothing else.
PYTHON = f"""
case "$*" in
    *gpu_check.blobs*) for name in A B usual odd; do echo blob >"$3/$name.blob"; done; echo "blobs: $3" ;;
    *gpu_check* | *version_info* | *importlib.metadata*) exec {sys.executable} "$@" ;;
    *cuda.is_available*) echo "${{FAKE_GPU:-9.0}}" ;;
    *find_spec*) for name in $FAKE_MISSING; do case " $* " in *" $name "*) echo "$name" ;; esac; done ;;
    *build_info*) exit "${{FAKE_KERNELS:-0}}" ;;
    *platform*) ;;
    *-m\\ pytest*) eval "${{FAKE_TESTS:-echo '7 passed in 0.1s'}}" ;;
    *profile_kernels*)
        echo "A float32 batch 1: native 0.2 ms"; echo "A bfloat16 batch 1: native 0.1 ms"; echo legend
        while [ "$1" ] && [ "$1" != --json ]; do shift; done
        [ -z "$2" ] || echo '{{}}' >"$2" ;;
    *) echo "unexpected: $*"; exit 9 ;;
esac
"""
DRIVER = """
cell='{"shape": "A", "type": "bfloat16", "batch": 1, "kernel": "", "microseconds": {"median": 36.5}}'
case "$ZPRL_CUDA_KERNEL $*" in
    *--plans*) echo "$cell"; echo "${cell/36.5/30.0}"; echo "${cell/36.5/40.0}" ;;
    *--machine*) echo '{"gpu": "Fake", "multiprocessors": 132, "active_clusters": {"2": 66, "16": 6}}' ;;
    *--time*) echo "$cell" ;;
    wgmma*usual*) eval "$FAKE_WGMMA" ;;
    *) echo "usage, or ok" ;;
esac
"""
CMAKE = """
case "$*" in
    --build*) eval "$FAKE_COMPILER"; cp "$FAKE_BIN/gpu_driver" "$2" && exit "${FAKE_BUILD:-0}" ;;
    --install*)
        mkdir -p "$4/zprl"
        if [ "$REAL_LIBRARIES" ]; then cp $REAL_LIBRARIES "$4/zprl"
        else truncate -s "${FAKE_SIZE:-1}" "$4/zprl/libzprl_torch.so"; fi ;;
esac
"""
PROGRAMS = {
    "python": PYTHON,
    "gpu_driver": DRIVER,
    "cmake": CMAKE,
    "nvcc": "exit 0",
    "c++": "exit 0",
    "nvidia-smi": "echo 'Fake H100, 580.1, 1980 MHz'",
    "ncu": 'while [ "$1" != --log-file ]; do shift; done; echo "${FAKE_COUNTERS:-Duration}" >"$2"',
    "compute-sanitizer": 'case "$2" in racecheck) exit "${FAKE_SANITIZER:-0}" ;; esac; echo "0 errors"',
}


VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
SYSTEM = ("bash", "basename", "cp", "dirname", "mkdir", "sleep", "truncate")


class Outcome(NamedTuple):
    result: str
    seconds: float
    reason: str


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fakes") / "programs"
    folder.mkdir()
    for name, lines in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/bash\n{lines}\n")
        (folder / name).chmod(0o755)
    return folder


def environment(programs, without=()):
    """One where only the fake programs are found, but for some of them, and what these call."""
    path = programs.parent / "_".join(["path", *without])
    if not path.exists():
        path.mkdir()
        for program in PROGRAMS.keys() - set(without):
            (path / program).symlink_to(programs / program)
        for program in SYSTEM:
            (path / program).symlink_to(shutil.which(program))
    return {"PATH": str(path), "CUDA_HOME": "/nowhere", "PYTHON": str(path / "python"), "FAKE_BIN": str(programs)}


def call(programs, script, *arguments, without=(), **variables):
    env = environment(programs, without) | variables
    return subprocess.run([script, *arguments], capture_output=True, text=True, env=env, timeout=120, check=False)


def outcomes_of(report, printed):
    """The table's lines by check, in order; all of it was also printed."""
    text = (report / "summary.txt").read_text()
    assert text in printed
    head, *lines = text.splitlines()
    places = [head.index(name) for name in ("result", "seconds", "reason")]
    return {
        line.split()[0]: Outcome(
            line[places[0] : places[1]].strip(), float(line[places[1] : places[2]]), line[places[2] :]
        )
        for line in lines
    }


def make_repository(folder):
    """A copy of what the script reads of this repository, so that nothing is written into that or found built."""
    (folder / "scripts").mkdir(parents=True)
    for name in ("source", "tests"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("verify_gpu.sh", "profile_kernels.py"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts")
    return folder


def script_of(root):
    return root / "scripts" / "verify_gpu.sh"


def verify(programs, root, report, *arguments, **variables):
    """Run the checks of a repository or a pack and return the status, the outcomes and all that was printed."""
    result = call(programs, script_of(root), *arguments, report, **variables)
    assert "Traceback" not in result.stderr, result.stderr
    assert len(list(report.iterdir())) <= 8
    return result.returncode, outcomes_of(report, result.stdout), result.stdout


# -- in the repository -------------------------------------------------------------------------------------------------


def test_without_a_gpu_it_says_so_in_one_sentence(programs, tmp_path):
    status, outcomes, _ = verify(programs, make_repository(tmp_path / "home"), tmp_path / "report", FAKE_GPU="no GPU")
    assert status == 2
    assert list(outcomes) == ["machine"]
    assert outcomes["machine"].result == "failed"
    assert outcomes["machine"].reason == "torch finds no CUDA device on this machine, so nothing was verified."


def test_without_torch_it_says_so(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    env = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(tmp_path)}
    report = tmp_path / "report"
    result = subprocess.run(
        [script_of(ROOT), report], capture_output=True, text=True, env=env, timeout=120, check=False
    )
    assert result.returncode == 2
    reason = outcomes_of(report, result.stdout)["machine"].reason
    assert reason.endswith("cannot import torch or ask its GPU: ImportError: no torch here")


def test_each_check_says_what_it_lacks_and_none_stops_the_others(programs, tmp_path):
    missing = "pybind11 pytest prettytable isaaclab triton"
    lacking = ("nvidia-smi", "ncu", "compute-sanitizer")
    status, outcomes, _ = verify(
        programs, make_repository(tmp_path / "home"), tmp_path / "report", without=lacking, FAKE_MISSING=missing
    )
    assert status == 0
    assert list(outcomes) == ["machine", "build", *CHECKS[1:]]
    assert {outcome.result for outcome in outcomes.values()} == {"skipped"}
    assert outcomes["build"].reason == "Python has no module 'pybind11'"
    assert outcomes["tests"].reason == "Python has no module 'pytest'"
    assert outcomes["rivals-B"].reason == "Python has no module 'prettytable'"
    assert outcomes["training"].reason == "Python has no module 'isaaclab'"
    assert outcomes["memcheck-mma"].reason == "there is no compute-sanitizer"


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (("--only", "goal-*,gaol-A"), {}, "--only names 'gaol-A', and no check is called so; there are machine, build"),
        ((), {"ZPRL_VERIFY_SECONDS": "soon"}, "ZPRL_VERIFY_SECONDS is 'soon'; it must be a number of seconds."),
        (("/dev/null/report",), {}, "the report folder /dev/null/report cannot be written (Not a directory)"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(programs, tmp_path, arguments, variables, sentence):
    result = call(programs, script_of(ROOT), *arguments, OUT=str(tmp_path / "report"), **variables)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {sentence}") and len(result.stderr.splitlines()) == 1


def test_a_pack_goes_with_no_choice_of_checks(programs, tmp_path):
    result = call(programs, script_of(ROOT), "--pack", tmp_path / "pack", "--only", "tests")
    assert result.returncode == 2 and "it goes with neither --only nor --dry-run" in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


# -- packs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack(programs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("away") / "pack"
    result = call(programs, script_of(make_repository(tmp_path_factory.mktemp("home") / "home")), "--pack", folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_a_pack_carries_what_the_checks_run(pack):
    expected = ["pack.json", "scripts/verify_gpu.sh", "source/zprl/zprl/libzprl_torch.so", "tests/gpu/conftest.py"]
    expected += [
        "build/verify-gpu/gpu_driver",
        *(f"build/verify-gpu/{name}.blob" for name in ("A", "B", "usual", "odd")),
    ]
    expected += ["site/prettytable/__init__.py", "site/wcwidth/__init__.py", "site/xdist/__init__.py"]
    assert [name for name in expected if not (pack / name).is_file()] == []
    assert list(pack.rglob("__pycache__")) == []
    manifest = json.loads((pack / "pack.json").read_text())
    assert manifest["python"] == VERSION
    assert {"prettytable", "wcwidth", "safetensors", "pytest-timeout", "pytest-xdist"} <= set(manifest["packages"])


@pytest.mark.parametrize(
    ("where", "variables", "sentence"),
    [
        ("taken", {}, "exists, and a pack is a new folder; remove it or name another."),
        ("file/pack", {}, "file: File exists); name another place."),
        ("pack", {"FAKE_BUILD": "1"}, "the build for the pack has failed at `cmake --build`; "),
        ("pack", {"FAKE_SIZE": "70M"}, "MiB, and 64 are the most that can be carried; build for fewer GPUs"),
        (
            "pack",
            {"without": ("nvcc",)},
            "there is no nvcc on the PATH, and a pack is built with it; install it first.",
        ),
    ],
)
def test_a_pack_is_complete_or_absent(programs, tmp_path, where, variables, sentence):
    away = tmp_path / "away"
    (away / "taken").mkdir(parents=True)
    (away / "file").touch()
    result = call(programs, script_of(make_repository(tmp_path / "home")), "--pack", away / where, **variables)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and sentence in result.stderr and len(result.stderr.splitlines()) == 1
    assert sorted(path.name for path in away.rglob("*")) == ["file", "taken"]


def test_a_pack_that_is_stopped_leaves_nothing(programs, tmp_path):
    away, started = tmp_path / "away", tmp_path / "started"
    script = script_of(make_repository(tmp_path / "home"))
    env = environment(programs) | {"FAKE_COMPILER": f"echo >{started}; sleep 100"}
    process = subprocess.Popen([script, "--pack", away / "pack"], env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60.0
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(away.iterdir()) != []
    process.terminate()
    assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 143 and list(away.iterdir()) == []


def test_a_packs_checks_come_in_order_and_leave_eight_files_at_most(programs, pack, tmp_path):
    status, outcomes, _ = verify(programs, pack, tmp_path / "report", FAKE_MISSING="isaaclab")
    assert list(outcomes) == CHECKS
    not_passed = {name: outcome for name, outcome in outcomes.items() if outcome.result != "passed"}
    assert {name: outcome.reason for name, outcome in not_passed.items()} == {
        "training": "Python has no module 'isaaclab'",
        "trace": "Python has no module 'isaaclab'",
    }
    assert status == 0
    assert outcomes["machine"].reason == "Fake H100, 580.1, 1980 MHz"
    assert outcomes["device"].reason == "Fake, 132 SMs, active clusters: 66 of 2, 6 of 16"
    assert outcomes["goal-A-1"].reason == "A bfloat16 1: 36.5 us (goal 35, missed)"
    assert outcomes["tests"].reason == "7 passed in 0.1s"
    assert outcomes["plans"].reason == outcomes["plans-wgmma"].reason == "A 1: +22% of 3"
    assert outcomes["rivals-B"].reason == "last of 2: A bfloat16 batch 1: native 0.1 ms"
    names = ["log.txt", "ncu.csv", "profile_A.json", "profile_B.json", "results.jsonl", "summary.txt"]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == names
    log = (tmp_path / "report" / "log.txt").read_text()
    assert "== run-mma: ZPRL_CUDA_KERNEL=mma " in log and "0 errors" in log
    lines = [json.loads(line) for line in (tmp_path / "report" / "results.jsonl").read_text().splitlines()]
    assert lines[0]["gpu"] == "Fake" and len(lines) == 1 + 8 + 2 + 4 + 2 * 3


def test_what_fails_is_cut_off_or_missing_fails_the_run(programs, pack, tmp_path):
    names = "run-*,tests,rivals-A,racecheck-mma,trace"
    ways = {
        "FAKE_WGMMA": "kill -SEGV $$",
        "FAKE_TESTS": "echo; echo it broke; echo; exit 3",
        "FAKE_MISSING": "prettytable isaaclab",
        "FAKE_SANITIZER": "124",
    }
    status, outcomes, printed = verify(programs, pack, tmp_path / "report", "--only", names, **ways)
    assert status == 1
    assert {name: outcome.result for name, outcome in outcomes.items()} == {
        "run-cluster": "passed",
        "run-mma": "passed",
        "run-wgmma": "failed",
        "tests": "failed",
        "rivals-A": "failed",
        "trace": "skipped",
        "racecheck-mma": "cut off",
    }
    assert outcomes["run-wgmma"].reason.startswith("exit status 139")
    assert outcomes["tests"].reason == "exit status 3: it broke"
    assert outcomes["rivals-A"].reason == "the pack lacks the module 'prettytable'; make it again"
    assert printed.splitlines()[-1] == "go on with: scripts/verify_gpu.sh --only racecheck-mma"


@pytest.mark.parametrize(
    ("variables", "check", "result", "reason"),
    [
        ({"FAKE_TESTS": "echo 7 skipped"}, "tests", "failed", "nothing was verified: 7 skipped"),
        ({"FAKE_COUNTERS": "ERR_NVGPUCTRPERM"}, "ncu", "failed", "nothing was verified: "),
        ({"FAKE_KERNELS": "1"}, "tests", "failed", "the native library is missing or has no CUDA kernels"),
        ({"FAKE_SANITIZER": "3"}, "racecheck-wgmma", "failed", "exit status 3: "),
        ({"FAKE_MISSING": "safetensors"}, "rivals-A", "failed", "the pack lacks the module 'safetensors'"),
        ({"FAKE_MISSING": "triton"}, "rivals-compile", "skipped", "Python has no module 'triton'"),
    ],
)
def test_each_way_to_fail(programs, pack, tmp_path, variables, check, result, reason):
    status, outcomes, _ = verify(programs, pack, tmp_path / "report", "--only", check, **variables)
    assert list(outcomes) == [check]
    assert outcomes[check].result == result and outcomes[check].reason.startswith(reason)
    assert status == (result != "skipped")


def test_a_check_that_hangs_is_ended_with_its_children_and_what_has_no_time_left_is_not_begun(programs, pack, tmp_path):
    pid = tmp_path / "pid"
    hang = f"(trap '' TERM; exec sleep 100) & echo $! >{pid}; echo stuck; wait"
    status, outcomes, printed = verify(
        programs, pack, tmp_path / "report", "--only", "run-*,goal-A-1", FAKE_WGMMA=hang, ZPRL_VERIFY_SECONDS="7"
    )
    assert status == 1
    assert [outcome.result for outcome in outcomes.values()] == ["passed", "passed", "cut off", "cut off"]
    assert outcomes["run-wgmma"].reason.startswith("ran into its limit of ")
    assert outcomes["run-wgmma"].reason.endswith("stuck")
    assert outcomes["goal-A-1"].reason == "not begun: the 7 s for all checks are over (ZPRL_VERIFY_SECONDS)"
    process, deadline = Path(f"/proc/{pid.read_text().strip()}"), time.monotonic() + 5.0
    while process.exists() and time.monotonic() < deadline:  # whoever adopts it has to see its end
        time.sleep(0.01)
    assert not process.exists() or "(zombie)" in (process / "status").read_text()
    assert printed.splitlines()[-1] == "go on with: scripts/verify_gpu.sh --only run-wgmma,goal-A-1"


def test_results_of_other_checks_stay_when_only_some_run(programs, pack, tmp_path):
    report = tmp_path / "report"
    verify(programs, pack, report, "--only", "rivals-A,goal-A-1")
    verify(programs, pack, report, "--only", "ncu")
    assert (report / "profile_A.json").exists() and (report / "ncu.csv").exists()
    assert "== goal-A-1: " in (report / "log.txt").read_text() and (report / "results.jsonl").read_text()
    verify(programs, pack, report, FAKE_MISSING="prettytable isaaclab")
    assert not (report / "profile_A.json").exists()


def test_a_dry_run_needs_no_gpu_and_says_what_is_missing(programs, pack, tmp_path):
    report = tmp_path / "report"
    ways = {"FAKE_GPU": "no GPU", "FAKE_TESTS": "echo 7 skipped"}
    names = ("--only", "run-*,tests,training,ncu")
    status, outcomes, _ = verify(programs, pack, report, "--dry-run", *names, FAKE_MISSING="isaaclab", **ways)
    assert status == 0
    assert {outcome.result for outcome in outcomes.values()} == {"skipped"}
    assert outcomes["tests"].reason == "dry run, without a GPU: 7 skipped"
    status, outcomes, _ = verify(programs, pack, report, "--dry-run", *names, FAKE_MISSING="xdist", **ways)
    assert (status, outcomes["tests"].reason) == (1, "the pack lacks the module 'xdist'; make it again")


def test_a_pack_for_another_python_is_refused(programs, pack, tmp_path):
    manifest = pack / "pack.json"
    before = manifest.read_text()
    manifest.write_text(before.replace(VERSION, "3.99"))
    try:
        result = call(programs, script_of(pack), tmp_path / "report")
    finally:
        manifest.write_text(before)
    assert result.returncode == 2 and result.stderr.startswith("error: the pack is for Python 3.99, and ")


def make_bare_python(folder, *names):
    """A virtual environment that has these distributions and what they require, by links to this one's files."""
    venv.create(folder, symlinks=True)
    site = folder / "lib" / f"python{VERSION}" / "site-packages"
    left, seen = list(names), set()
    while left:
        name = left.pop().lower()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        for entry in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / entry).exists():
                (site / entry).symlink_to(distribution.locate_file(entry))
        requirements = map(Requirement, distribution.requires or ())
        left += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return folder / "bin" / "python"


def test_a_pack_runs_dry_where_there_are_only_torch_numpy_and_pytest(programs, tmp_path):
    core = pytest.importorskip("zprl._core", reason="the native libraries are not built")
    home, pack, report = make_repository(tmp_path / "home"), tmp_path / "pack", tmp_path / "report"
    libraries = " ".join(map(str, Path(core.__file__).parent.glob("*.so")))
    result = call(programs, script_of(home), "--pack", pack, REAL_LIBRARIES=libraries)
    assert result.returncode == 0, result.stderr
    python = make_bare_python(tmp_path / "bare", "torch", "numpy", "pytest")
    missing = "from importlib.util import find_spec; import sys; print(*(n for n in sys.argv[1:] if not find_spec(n)))"
    lookup = [python, "-c", missing, "torch", "numpy", "pytest", "xdist", "prettytable", "safetensors", "isaaclab"]
    answer = subprocess.run(lookup, capture_output=True, text=True, check=True).stdout.split()
    assert answer == ["xdist", "prettytable", "safetensors", "isaaclab"]

    names = "run-cluster,goal-A-1,tests,rivals-A,training"
    status, outcomes, _ = verify(
        programs, pack, report, "--dry-run", "--only", names, PYTHON=str(python), CUDA_VISIBLE_DEVICES=""
    )
    log = (report / "log.txt").read_text()
    assert status == 0, log
    assert {name: outcome.result for name, outcome in outcomes.items()} == dict.fromkeys(names.split(","), "skipped")
    assert outcomes["training"].reason == "Python has no module 'isaaclab'"
    skipped = re.fullmatch(r"dry run, without a GPU: (\d+) skipped in .*", outcomes["tests"].reason)
    assert skipped is not None and int(skipped[1]) > 200, outcomes["tests"].reason
    reasons = re.findall(r"^SKIPPED \[(\d+)\] (.*)$", log, re.MULTILINE)
    assert [(count, reason.partition(": ")[2]) for count, reason in reasons] == [
        (skipped[1], "needs a CUDA device, and torch finds none")
    ]
    assert "A float32 batch 1: native" in outcomes["rivals-A"].reason
    assert sorted(path.name for path in report.iterdir()) == ["log.txt", "results.jsonl", "summary.txt"]


@pytest.mark.parametrize("fault", [False, True])
def test_a_worker_whose_gpu_has_faulted_is_given_up(monkeypatch, fault):
    import torch
    from tests.gpu import conftest

    def synchronize():
        if fault:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered", 700)

    ended = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    conftest.pytest_runtest_logfinish()
    assert ended == ([3] if fault else [])
