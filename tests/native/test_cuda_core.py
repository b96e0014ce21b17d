# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The CUDA kernels without a GPU.

Their source runs on the CPU (csrc/tests/cuda_emulation.h) and is compared with double precision; where they are built,
the compiler's report of every kind of GPU is checked.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
COMPILER_REPORT = ROOT / "build" / f"cmake-cp{sys.version_info.major}{sys.version_info.minor}" / "kernels.txt"
ARCHITECTURES = ("80", "90a", "100a")
REGISTERS_OF_A_MULTIPROCESSOR = 65536
THREADS_OF_A_BLOCK = 256
THREADS_OF_MULTICAST_TILES = 288
THREADS_ON_WGMMA = 384
MAX_SPILLED_BYTES = 48
MAX_SPILLED_BYTES_OF_HELD_OPERANDS = 160
"""Of kernels on wgmma that keep a layer's results, of four bytes each, in registers until its last product."""


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="session")
def cuda_check(tmp_path_factory):
    """The check program; with the compiler's watch over alignment, bounds and overflow where it has the library."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("a C++ compiler is missing")
    folder = tmp_path_factory.mktemp("cuda_check")
    probe = folder / "probe.cpp"
    probe.write_text("int main() { return 0; }\n")
    sanitize = ["-fsanitize=alignment,bounds,signed-integer-overflow,shift", "-fno-sanitize-recover=all"]
    if run(compiler, *sanitize, probe, "-o", folder / "probe").returncode != 0:
        sanitize = []

    core = CSRC / "core"
    sources = [
        CSRC / "tests/cuda_check.cpp",
        CSRC / "tests/core_calls.cpp",
        CSRC / "tests/core_model.cpp",
        CSRC / "tests/core_unet.cpp",
        CSRC / "tests/core_unet_model.cpp",
        core / "cuda/pack.cpp",
        core / "cuda/plan.cpp",
        core / "cuda/cost_model.cpp",
        core / "policy_blob.cpp",
        core / "plan.cpp",
        core / "latent_noise.cpp",
    ]
    flags = ["-std=c++17", "-O1", "-pthread", "-Wall", "-Wextra", f"-I{core}", f"-I{CSRC / 'tests'}"]
    result = run(compiler, *flags, *sanitize, *sources, "-o", folder / "cuda_check")
    assert result.returncode == 0, result.stderr[:6000]
    assert "warning" not in result.stderr, result.stderr[:6000]
    return folder / "cuda_check"


def lines_of(cuda_check, *arguments):
    result = run(cuda_check, *arguments)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr[:6000]}"
    assert result.stderr == ""
    return result.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernel",
    ["tile fp32", "tile tf32", "tile bf16", "wgmma tf32", "wgmma bf16", "cluster fp32", "cluster tf32", "cluster bf16"],
)
def test_steps_agree_with_double_precision(cuda_check, kernel):
    """All calls, solvers and odd shapes; any order of threads; rows that depend on nothing but themselves."""
    assert lines_of(cuda_check, "step", kernel)[-1].endswith("cases agree with double precision")


@pytest.mark.parametrize("what", ["pack", "plan", "noise", "emulation"])
def test_parts(cuda_check, what):
    """Packed weights, the planner's limits, noise, and that the emulation notices mistakes."""
    assert lines_of(cuda_check, what)


@pytest.fixture(scope="session")
def resource_report():
    """What ptxas said about every kernel and architecture in the build: {(architecture, kernel): text}."""
    core = pytest.importorskip("zprl._core", reason="the native libraries are not built")
    version = core.build_info()["cuda"] or ""
    if not all(each in version.partition(" for ")[2].split() for each in ARCHITECTURES):
        pytest.skip(f"CUDA kernels in this build: {version or 'none'}; the limits are those of {ARCHITECTURES}")
    report = COMPILER_REPORT.read_text()
    assert "warning" not in report.lower(), report[:6000]
    # What ptxas says, as information, of products that it could not leave asynchronous: "Potential Performance Loss:
    # wgmma.mma_async instructions are serialized due to ..."
    assert not re.search(r"serialized|Performance Loss", report), report[:6000]
    pattern = r"Compiling entry function '(\w+)' for 'sm_(\w+)'(.*?)Compile time"
    return {(arch, name): text for name, arch, text in re.findall(pattern, report, re.DOTALL)}


def test_kernels_compile_for_every_architecture(resource_report):
    kernels = {arch: {name for other, name in resource_report if other == arch} for arch in ARCHITECTURES}
    assert all(kernels.values())
    assert kernels["80"] == kernels["90a"] == kernels["100a"]


def test_only_hopper_has_wgmma(resource_report):
    """The kernels are there for it, and empty for all others: sm_100 does not know the instruction."""
    for (arch, name), text in resource_report.items():
        if "wgmma_tile_kernel" in name:
            used = re.search(r"Used (\d+) registers", text)
            assert used is not None, text
            assert (int(used[1]) > 64) == (arch == "90a"), (arch, name, text)


def test_kernels_keep_within_registers_and_shared_memory(resource_report):
    """Hardly a register spilled, a whole block's registers at hand, and no shared memory beside what plan() counts."""
    for key, text in resource_report.items():
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", text)
        registers = re.search(r"Used (\d+) registers", text)
        assert spills and registers, (key, text)
        holds = re.search(r"wgmma_tile_kernelINS0_8Tf32UnitELNS0_9PlacementE[45]", key[1])
        most = MAX_SPILLED_BYTES_OF_HELD_OPERANDS if holds else MAX_SPILLED_BYTES
        assert max(map(int, spills.groups())) <= most, (key, text)
        multicast = THREADS_OF_MULTICAST_TILES if "multicast" in key[1] else THREADS_OF_A_BLOCK
        threads = THREADS_ON_WGMMA if "wgmma" in key[1] else multicast
        assert int(registers.group(1)) * threads <= REGISTERS_OF_A_MULTIPROCESSOR, (key, text)
        assert " smem" not in text, (key, text)
