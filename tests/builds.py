# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Builds of the native libraries for tests, without their Python part."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# All of "undefined" but null, object-size and pointer-overflow: what these see of an access, "address" sees too, and
# their checks take as long to compile as all others together.
SANITIZERS = (
    "address,alignment,bool,bounds,builtin,enum,integer-divide-by-zero,nonnull-attribute,return,"
    "returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,vla-bound,vptr"
)


def find_tool(name):
    """A tool of the virtual environment, or of the system."""
    beside_python = Path(sys.executable).with_name(name)
    return str(beside_python) if beside_python.exists() else shutil.which(name)


def run(*command, **variables):
    command = [str(part) for part in command]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=600, check=False)


def build(folder, *targets, **options):
    """Configure and build the project without its Python part; return the build folder."""
    cmake, ninja, compiler = find_tool("cmake"), find_tool("ninja"), find_compiler()
    if cmake is None or ninja is None or compiler is None:
        pytest.skip("cmake, ninja or a C++ compiler is missing")
    flags = Path("/proc/cpuinfo").read_text()
    options = {
        "CMAKE_MAKE_PROGRAM": ninja,
        "CMAKE_CXX_COMPILER": compiler,
        "ZPRL_CUDA": "OFF",
        "ZPRL_PYTHON": "OFF",
        # Most of the time of a build, for nothing where the processor cannot run it.
        "ZPRL_AVX512": "ON" if "avx512f" in flags else "OFF",
        "ZPRL_AMX": "ON" if "amx_bf16" in flags else "OFF",
        **options,
    }
    arguments = [f"-D{name}={value}" for name, value in options.items()]
    for command in (
        (cmake, "-S", ROOT, "-B", folder, "-G", "Ninja", *arguments),
        (cmake, "--build", folder, *(("--target", *targets) if targets else ())),
    ):
        result = run(*command)
        assert result.returncode == 0, (result.stdout + result.stderr)[-8000:]
    return folder


@contextlib.contextmanager
def shared_folder(tmp_path_factory, name):
    """Give a folder that all processes of a test run share, to one of them at a time: the next finds what it made."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / f"shared_{name}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def build_check(tmp_path_factory, target):
    """Build a test program, with the sanitizers where they run; return its path."""
    compiler = find_compiler()
    with shared_folder(tmp_path_factory, "checks") as folder:
        # A compiler can know the option without having the library, and a container can forbid what the library does.
        (folder / "probe.cpp").write_text("int main() { return 0; }\n")
        compile_probe = (compiler, f"-fsanitize={SANITIZERS}", folder / "probe.cpp", "-o", folder / "probe")
        commands = (compile_probe, (folder / "probe",))
        sanitized = compiler is not None and all(run(*command).returncode == 0 for command in commands)
        # A build type of its own: with the release's -O3, the sanitizers' checks take minutes to compile.
        options = {"CMAKE_BUILD_TYPE": "Check", "CMAKE_CXX_FLAGS_CHECK": "-O1", "ZPRL_TESTS": "ON"}
        if sanitized:
            options["ZPRL_SANITIZE"] = SANITIZERS
        return str(build(folder / "build", target, **options) / target)


def find_compiler():
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
