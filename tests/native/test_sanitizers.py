# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The core of the policy step under AddressSanitizer and UndefinedBehaviorSanitizer; see csrc/tests/core_check.cpp."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")

ROOT = Path(__file__).resolve().parents[2]
SANITIZERS = "address,undefined"
DAMAGED_BLOBS = 10_000


def find_tool(name):
    """A tool of the virtual environment, or of the system."""
    beside_python = Path(sys.executable).with_name(name)
    return str(beside_python) if beside_python.exists() else shutil.which(name)


def run(*command, **variables):
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=600, check=False)


@pytest.fixture(scope="session")
def core_check(tmp_path_factory):
    """The check program, built with the sanitizers."""
    folder = tmp_path_factory.mktemp("core_check")
    cmake, ninja = find_tool("cmake"), find_tool("ninja")
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if cmake is None or ninja is None or compiler is None:
        pytest.skip("cmake, ninja or a C++ compiler is missing")

    # A compiler can know the option without having the library, and a container can forbid what the library does.
    (folder / "probe.cpp").write_text("int main() { return 0; }\n")
    flags = (f"-fsanitize={SANITIZERS}", str(folder / "probe.cpp"), "-o", str(folder / "probe"))
    if run(compiler, *flags).returncode != 0 or run(str(folder / "probe")).returncode != 0:
        pytest.skip(f"{compiler} has no runtime library for -fsanitize={SANITIZERS}, or it does not run here")

    build = folder / "build"
    options = {
        "CMAKE_MAKE_PROGRAM": ninja,
        "CMAKE_CXX_COMPILER": compiler,
        # A build type of its own: with the release's -O3, the sanitizers' checks take minutes to compile.
        "CMAKE_BUILD_TYPE": "Sanitize",
        "CMAKE_CXX_FLAGS_SANITIZE": "-O1",
        "Python_EXECUTABLE": sys.executable,
        "ZPRL_CUDA": "OFF",
        "ZPRL_TESTS": "ON",
        "ZPRL_SANITIZE": SANITIZERS,
    }
    arguments = [f"-D{name}={value}" for name, value in options.items()]
    for command in (
        (cmake, "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *arguments),
        (cmake, "--build", str(build), "--target", "core_check"),
    ):
        result = run(*command)
        assert result.returncode == 0, result.stdout + result.stderr
    return str(build / "core_check")


def assert_clean(result):
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}\n{result.stderr[:6000]}"
    assert result.stderr == ""


@pytest.mark.parametrize("level", _core.cpu_levels())
def test_odd_shapes(core_check, level):
    """Bounds, finite results, rows that do not depend on their batch, and a reference in double precision."""
    result = run(core_check, ZPRL_CPU=level)
    assert_clean(result)
    assert result.stdout.startswith(f"core_check: {level}: ")


@pytest.mark.parametrize("level", _core.cpu_levels()[-1:])
def test_damaged_blobs(core_check, level):
    result = run(core_check, "fuzz", "1", str(DAMAGED_BLOBS), ZPRL_CPU=level)
    assert_clean(result)
    assert f"{DAMAGED_BLOBS} damaged blobs" in result.stdout


def test_an_unknown_instruction_set_ends_in_a_sentence(core_check):
    result = run(core_check, ZPRL_CPU="abacus")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "ZPRL_CPU is 'abacus'" in result.stderr
