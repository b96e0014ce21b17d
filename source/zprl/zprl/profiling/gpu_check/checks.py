# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The checks, most informative first, and what their last words mean."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TASK = "Zprl-Lift-Franka"
KERNELS = ("cluster", "mma", "wgmma")
"""Values of ZPRL_CUDA_KERNEL: together they run all kernels."""

GOALS = {
    "A": {1: 35.0, 64: 45.0, 1024: 90.0, 8192: 190.0},
    "B": {1: 70.0, 64: 90.0, 1024: 250.0, 8192: 950.0},
}
"""Times of a policy step in bfloat16 on an H100 [us] that the kernels are meant to reach, by shape and batch size. A
time beyond is shown and fails nothing."""

SIMULATOR = ("isaaclab", "isaaclab_tasks", "isaaclab_newton", "newton", "rsl_rl")
"""Modules that training needs. A pack does not carry them."""


@dataclass(frozen=True)
class Place:
    """Where things lie."""

    root: Path
    """The repository, or a pack, which is laid out like it."""
    python: str
    """The interpreter of the checks."""
    report: Path
    """Folder of the results."""
    scratch: Path
    """Folder for what nobody needs afterwards."""
    architecture: str | None = None
    """Compute capability of the GPU, such as "9.0"; None without one."""

    @property
    def build(self) -> Path:
        """Folder of the test program and of the policies that it runs."""
        return self.root / "build" / "verify-gpu"

    @property
    def driver(self) -> Path:
        """The test program."""
        return self.build / "gpu_driver"

    def blob(self, name: str) -> str:
        """Path of a policy for the test program; see :mod:`zprl.profiling.gpu_check.blobs`."""
        return str(self.build / f"{name}.blob")


Words = Callable[[str], str]
"""Makes the reason in the table of what a check has printed."""


def last_line(output: str) -> str:
    """Return the last line that is not blank."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""


@dataclass(frozen=True)
class Check:
    """Commands that run one after the other, in a process group of their own, within one time limit."""

    name: str
    limit: float
    """Time limit [s]."""
    commands: tuple[tuple[str, ...], ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables besides those that all checks get."""
    modules: tuple[str, ...] = ()
    """Python modules that it needs."""
    programs: tuple[str, ...] = ()
    """Programs that it needs."""
    driver: bool = False
    """Whether it needs the test program."""
    kernels: bool = False
    """Whether it needs the package's library with CUDA kernels."""
    files: tuple[str, ...] = ()
    """What it leaves in the report."""
    words: Words = last_line
    rehearsal: tuple[str, ...] | None = None
    """What a dry run calls instead, where there is something to learn without a GPU."""
    folder: Path | None = None
    """Folder that it runs in; the root if None."""
    need: Path | None = None
    """File or folder that an earlier check leaves."""
    expects: str = ""
    """Regular expression that its output, or a file that it leaves, must match somewhere."""


def json_lines(output: str) -> list[dict[str, Any]]:
    """Return the JSON objects among the lines of an output."""
    found = []
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:  # a line that a killed program has left unfinished
                continue
    return found


def cells_in_words(output: str) -> str:
    """Return the times and errors of the test program's cells in a few words, or its last line if it timed none."""
    cells = [cell for cell in json_lines(output) if "microseconds" in cell]
    return "; ".join(_cell_in_words(cell) for cell in cells) or last_line(output)


def _cell_in_words(cell: dict[str, Any]) -> str:
    time, goal = cell["microseconds"]["median"], None
    if cell["type"] == "bfloat16" and not cell["kernel"]:
        goal = GOALS.get(cell["shape"], {}).get(cell["batch"])
    words = f"{cell['shape']} {cell['type']} {cell['batch']}: {time:.1f} us"
    if goal is not None:
        words += f" (goal {goal:.0f}, {'met' if time <= goal else 'missed'})"
    largest = cell.get("errors", {}).get("max")
    return words if largest is None else f"{words}, error {largest:.1e}"


def plans_in_words(output: str) -> str:
    """Return of each cell by how much the plan that the planner takes, its first one, is slower than the fastest."""
    times: dict[str, list[float]] = {}
    for cell in json_lines(output):
        if "microseconds" in cell:
            times.setdefault(f"{cell['shape']} {cell['batch']}", []).append(cell["microseconds"]["median"])
    words = [f"{cell}: +{each[0] / min(each) - 1.0:.0%} of {len(each)}" for cell, each in times.items()]
    return "; ".join(words) or last_line(output)


def machine_in_words(output: str) -> str:
    """Return GPU and cluster limits in a few words."""
    for machine in reversed(json_lines(output)):
        if "active_clusters" in machine:
            clusters = ", ".join(f"{count} of {size}" for size, count in machine["active_clusters"].items())
            return f"{machine['gpu']}, {machine['multiprocessors']} SMs, active clusters: {clusters}"
    return last_line(output)


def profile_in_words(output: str) -> str:
    """Return how many cells a profile has, and its last one, or its last line if it has none."""
    cells = [line for line in output.splitlines() if " batch " in line and ": native " in line]
    return f"last of {len(cells)}: {cells[-1]}" if cells else last_line(output)


def make_checks(place: Place, packed: bool) -> list[Check]:
    """Return all checks, in their order.

    Args:
        place: Where things lie. The scratch folder is written to.
        packed: Whether the root is a pack, with nothing to build.
    """
    return [_machine(place), *([] if packed else [_build(place)]), *_driver_checks(place), *_others(place)]


_SHOW_VERSIONS = """
import platform, torch
print("python", platform.python_version(), "torch", torch.__version__, "CUDA", torch.version.cuda)
"""
_SMI_FIELDS = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit"


def _machine(place: Place) -> Check:
    smi = ("nvidia-smi", f"--query-gpu={_SMI_FIELDS}", "--format=csv,noheader")
    return Check("machine", 30, ((place.python, "-c", _SHOW_VERSIONS), smi), programs=("nvidia-smi",))


def _build(place: Place) -> Check:
    """Compile for this machine's GPU alone, and put the libraries beside the package."""
    architecture = "9.0a" if place.architecture == "9.0" else place.architecture or ""
    return Check(
        "build",
        150,
        build_commands(place.root, place.build, place.python, place.root / "source" / "zprl"),
        {"TORCH_CUDA_ARCH_LIST": architecture} if architecture else {},
        modules=("pybind11",),
        programs=("cmake", "nvcc", "c++"),
        words=lambda output: f"built for {architecture}" if "blobs:" in last_line(output) else last_line(output),
    )


def build_commands(root: Path, build: Path, python: str, prefix: Path) -> tuple[tuple[str, ...], ...]:
    """Commands that build the libraries, the test program and the policies that it runs.

    Args:
        root: The repository.
        build: Build folder.
        python: Interpreter, of which torch and pybind11 are taken.
        prefix: Folder that the package ``zprl`` lies in; its libraries are put there.
    """
    jobs = str(len(os.sched_getaffinity(0)))
    generator = ("-G", "Ninja") if shutil.which("ninja") else ()
    # Line numbers cost nothing at run time; ncu and the sanitizers show them.
    options = ("-DZPRL_CUDA=ON", "-DZPRL_TESTS=ON", "-DCMAKE_CUDA_FLAGS=-lineinfo", f"-DPython_EXECUTABLE={python}")
    return (
        ("cmake", "-S", str(root), "-B", str(build), *generator, *options),
        ("cmake", "--build", str(build), "--target", "gpu_driver", "zprl_torch", "_core", "--parallel", jobs),
        ("cmake", "--install", str(build), "--prefix", str(prefix)),
        (python, "-m", "zprl.profiling.gpu_check.blobs", str(build)),
    )


def _driver_checks(place: Place) -> Iterator[Check]:
    driver = str(place.driver)
    small = (place.blob("usual"), place.blob("odd"))
    rehearsal = (driver, "--help")

    def call(name: str, limit: float, *arguments: str, kernel: str = "", words: Words = cells_in_words) -> Check:
        env = {"ZPRL_CUDA_KERNEL": kernel} if kernel else {}
        return Check(name, limit, ((driver, *arguments),), env, driver=True, words=words, rehearsal=rehearsal)

    yield call("device", 20, "--machine", words=machine_in_words)
    for kernel in KERNELS:
        yield call(f"run-{kernel}", 20, *small, kernel=kernel)
    measure = ("--check", "--time", "--type")
    for shape, goals in GOALS.items():
        for batch in goals:
            yield call(f"goal-{shape}-{batch}", 30, *measure, "bfloat16", "--batch", str(batch), place.blob(shape))
    yield _tests(place)
    for shape, goals in GOALS.items():
        batches = ",".join(map(str, goals))
        yield call(f"cells-{shape}", 60, *measure, "float32,tf32", "--batch", batches, place.blob(shape))
    once = ("--once", "--type", "bfloat16,tf32", "--batch", "1,64,8192", place.blob("A"), place.blob("B"))
    yield Check(
        "ncu",
        90,
        ((*_ncu(place.report / "ncu.csv"), driver, *once),),
        driver=True,
        programs=("ncu",),
        files=("ncu.csv",),
        rehearsal=rehearsal,
        expects="Duration",  # without the right to read counters it lists none
    )
    # Whether the planner takes the fastest of its plans.
    blobs = (place.blob("A"), place.blob("B"))
    sweep = ("--plans", "--time", "--type", "bfloat16", "--batch")
    yield call("plans", 60, *sweep, "1,64,1024", *blobs, words=plans_in_words)
    yield call("plans-wgmma", 30, *sweep, "8192", *blobs, kernel="wgmma", words=plans_in_words)
    # What wgmma, the rule on Hopper at large batches, is worth.
    for shape in GOALS:
        for kernel in ("mma", "wgmma"):
            what = (*measure, "bfloat16,tf32", "--batch", "8192", place.blob(shape))
            yield call(f"speed-{kernel}-{shape}", 40, *what, kernel=kernel)


def _ncu(log: Path) -> tuple[str, ...]:
    sections = ("SpeedOfLight", "LaunchStats", "Occupancy", "WarpStateStats", "MemoryWorkloadAnalysis")
    chosen = [word for section in sections for word in ("--section", section)]
    return ("ncu", "--clock-control", "none", *chosen, "--csv", "--log-file", str(log))


def _tests(place: Place) -> Check:
    # Its own settings: those of the project name plugins that need not be here.
    settings = place.scratch / "pytest.ini"
    markers = "\n    ".join(("gpu", "sim", "slow", "timeout"))
    settings.write_text(f"[pytest]\nmarkers =\n    {markers}\npythonpath = {place.root}\n")
    # The simulator has a check of its own. A test that hangs ends its worker, which is then replaced; the tests of the
    # other workers go on.
    command = (
        *(place.python, "-m", "pytest", "-c", str(settings), "--rootdir", str(place.root), "--import-mode=importlib"),
        *("-p", "no:dash", "-p", "no:cacheprovider", "-q", "-ra", "-m", "gpu and not sim", "--durations=10"),
        *("-n", str(min(8, len(os.sched_getaffinity(0)))), "--timeout", "40", "--timeout-method", "thread"),
        str(place.root / "tests" / "gpu"),
    )
    modules = ("pytest", "pytest_timeout", "xdist", "safetensors")
    return Check("tests", 150, (command,), modules=modules, kernels=True, rehearsal=command, expects=r"\b\d+ passed")


def _others(place: Place) -> Iterator[Check]:
    yield from _rivals(place)
    yield from _training(place)
    for tool in ("memcheck", "racecheck", "synccheck", "initcheck"):
        for kernel in KERNELS:
            sanitizer = ("compute-sanitizer", "--tool", tool, "--error-exitcode", "3")
            yield Check(
                f"{tool}-{kernel}",
                60,
                ((*sanitizer, str(place.driver), place.blob("odd")),),
                {"ZPRL_CUDA_KERNEL": kernel},
                programs=("compute-sanitizer",),
                driver=True,
                rehearsal=(str(place.driver), "--help"),
            )
    # torch.compile with tuning takes up to a minute per cell: the two ends of the range must do.
    yield Check(
        "rivals-compile",
        120,
        (_profile(place, "--shapes", "A", "--batch", "1,8192", "--dtype", "bfloat16", "--rivals", "compile"),),
        modules=("triton", "prettytable", "safetensors"),
        programs=("c++",),
        kernels=True,
        words=profile_in_words,
    )


def _profile(place: Place, *arguments: str, device: str = "cuda", budget: str = "0.5") -> tuple[str, ...]:
    script = str(place.root / "scripts" / "profile_kernels.py")
    return (place.python, script, "--device", device, "--threads", "4", "--budget", budget, *arguments)


def _rivals(place: Place) -> Iterator[Check]:
    # On a CPU the same modules are imported.
    rehearsal = ("--batch", "1", "--dtype", "float32", "--rivals", "eager", "--shapes")
    for shape, goals in GOALS.items():
        file = f"profile_{shape}.json"
        cells = ("--shapes", shape, "--batch", ",".join(map(str, goals)), "--dtype", "float32,tf32,bfloat16")
        yield Check(
            f"rivals-{shape}",
            120,
            (_profile(place, *cells, "--rivals", "eager,graph,jit", "--json", str(place.report / file)),),
            modules=("prettytable", "safetensors"),
            kernels=True,
            files=(file,),
            words=profile_in_words,
            rehearsal=_profile(place, *rehearsal, shape, device="cpu", budget="0.01"),
        )


_CHECK_TRAINING = """
import json, pathlib, shutil, sys
(source,) = pathlib.Path(sys.argv[1]).glob("logs/rsl_rl/*/*/result.json")
shutil.copy(source, sys.argv[2])
r = json.loads(source.read_text())
assert r["backend"].startswith("native"), f"the policy ran on {r['backend']}"
split = ", ".join(f"{name} {100 * share:.0f} %" for name, share in r["time_split"].items())
print(f"policy on {r['backend']}, {r['training_steps_per_second']:,.0f} env steps/s "
      f"(bare {r['bare_steps_per_second']:,.0f}); {split}")
"""


def _training(place: Place) -> Iterator[Check]:
    run = place.scratch / "run"
    run.mkdir(exist_ok=True)
    common = ("--task", TASK, "--device", "cuda:0", "--num_envs", "2048")
    sizes = ("agent.demonstrations.num_demos=64", "agent.pretrain.num_steps=600", "agent.evaluation.episodes=200")
    sizes += ("agent.max_iterations=12", "agent.save_interval=6", "agent.evaluation.interval=12")
    scripts = place.root / "scripts"
    yield Check(
        "training",
        240,
        (
            (place.python, str(scripts / "train.py"), *common, *sizes),
            (place.python, "-c", _CHECK_TRAINING, str(run), str(place.report / "training.json")),
        ),
        modules=SIMULATOR,
        kernels=True,
        files=("training.json",),
        folder=run,
    )
    # Chunks of a training rollout under torch.profiler: what waited for the GPU, and where from.
    trace = ("--chunks", "8", "--trace", str(place.report / "rollout_trace.json"))
    yield Check(
        "trace",
        60,
        ((place.python, str(scripts / "trace_rollout.py"), *common, *trace),),
        modules=SIMULATOR,
        kernels=True,
        files=("rollout_trace.json",),
        folder=run,
        need=run / "logs",
    )
