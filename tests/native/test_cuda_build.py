# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How the build decides about CUDA: csrc/cuda.cmake, run by CMake without compiling anything of ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.builds import find_tool

ROOT = Path(__file__).resolve().parents[2]
CMAKE, NINJA = find_tool("cmake"), find_tool("ninja")
pytestmark = pytest.mark.skipif(CMAKE is None or NINJA is None, reason="cmake or ninja is missing")


def run(*command, **variables):
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=300, check=False)


def architectures(tmp_path, arch_list):
    """Let the build's own function translate a list, in CMake's script mode."""
    script = tmp_path / "script.cmake"
    script.write_text(
        f'include("{ROOT}/csrc/cuda.cmake")\n_zprl_architectures(result)\nmessage(STATUS "result=${{result}}")\n'
    )
    return run(CMAKE, "-P", str(script), TORCH_CUDA_ARCH_LIST=arch_list)


@pytest.mark.parametrize(
    ("arch_list", "expected"),
    [
        ("", "80-real;80-virtual;90a-real;100a-real"),
        ("9.0a", "90a-real"),
        ("8.0;8.6;9.0a;12.0+PTX", "80-real;86-real;90a-real;120-real;120-virtual"),
        ("8.0 10.0f+PTX 8.0", "80-real;100f-real;100f-virtual"),
        ("8.0,9.0", "80-real;90-real"),
    ],
)
def test_architectures(tmp_path, arch_list, expected):
    result = architectures(tmp_path, arch_list)
    assert result.returncode == 0, result.stderr
    assert f"result={expected}\n" in result.stdout


@pytest.mark.parametrize(
    ("arch_list", "sentence"),
    [
        ("Hopper", "TORCH_CUDA_ARCH_LIST names 'Hopper'; write numbers"),
        ("8.0;sm_90", "TORCH_CUDA_ARCH_LIST names 'sm_90'; write numbers"),
        ("7.5;8.0", "TORCH_CUDA_ARCH_LIST names '7.5'; ZPRL's kernels need 8.0 or newer."),
    ],
)
def test_wrong_architectures_end_in_a_sentence(tmp_path, arch_list, sentence):
    result = architectures(tmp_path, arch_list)
    assert result.returncode != 0
    assert sentence in " ".join(result.stderr.split())


def configure(folder, cuda, torch_cuda="13.0", compiler="/nonexistent/nvcc"):
    """Let the build decide in a project of its own, with a made-up torch and, by default, no compiler for CUDA."""
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(decide LANGUAGES NONE)\n"
        f'set(ZPRL_CUDA {cuda})\nset(ZPRL_TORCH_VERSION 9.9)\ninclude("{ROOT}/csrc/cuda.cmake")\n'
        f'zprl_find_cuda("{torch_cuda}")\n'
        'message(STATUS "version=<${ZPRL_CUDA_VERSION}> reason=<${ZPRL_CUDA_REASON}>")\n'
    )
    options = ("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={NINJA}", f"-DPython_EXECUTABLE={sys.executable}")
    return run(CMAKE, "-S", str(folder), "-B", str(folder / "build"), *options, CUDACXX=compiler)


@pytest.mark.parametrize(
    ("torch_cuda", "reason"),
    [("13.0", "no working nvcc was found (set CUDACXX or CUDA_HOME)"), ("None", "torch 9.9 is built without CUDA")],
)
def test_what_is_missing_is_said_and_fatal_only_if_cuda_was_demanded(tmp_path, torch_cuda, reason):
    result = configure(tmp_path, "AUTO", torch_cuda)
    assert result.returncode == 0, result.stderr
    assert f"version=<> reason=<{reason}>" in result.stdout
    result = configure(tmp_path, "ON", torch_cuda)
    assert result.returncode != 0
    assert f"ZPRL_CUDA=ON, but CUDA kernels cannot be built: {reason}." in " ".join(result.stderr.split())
    assert "reason=<ZPRL_CUDA=OFF>" in configure(tmp_path, "OFF", torch_cuda).stdout


def test_the_toolkit_must_be_of_torchs_cuda_version(tmp_path):
    nvcc = find_tool("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is missing")
    release = re.search(r"release (\d+)\.(\d+)", run(nvcc, "--version").stdout)
    assert release is not None
    major = int(release[1])
    result = configure(tmp_path, "AUTO", f"{major + 1}.0", nvcc)
    assert f"nvcc is of CUDA {release[1]}.{release[2]} and torch of CUDA {major + 1}.0" in result.stdout, result.stdout
    # Another minor version is no obstacle.
    result = configure(tmp_path, "AUTO", f"{major}.99", nvcc)
    assert f"version=<{release[1]}.{release[2]} for 80 80+PTX 90a 100a>" in result.stdout, result.stdout
