# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the compiler made of the CUDA kernels: their instructions, by NVIDIA's cuobjdump."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"float32": "Fp32Unit", "tf32": "Tf32Unit", "bfloat16": "Bf16Unit"}
_FUNCTION = re.compile(r"^\s*Function : (\S+)")
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
_TIMEOUT = 120.0


@dataclass
class Instructions:
    """Instructions of one kernel, each counted once however often it runs."""

    total: int = 0
    matrix: int = 0
    """Products of a matrix unit."""
    device_fences: int = 0
    """Those that order memory for the whole GPU, or drop the level-1 cache; a hot loop should have none."""

    def add(self, name: str) -> None:
        """Count an instruction by its full name, for example "HGMMA.64x128x16.F32.BF16"."""
        if name == "NOP":
            return
        self.total += 1
        self.matrix += name.startswith(("HMMA", "HGMMA"))
        self.device_fences += name.startswith(("MEMBAR.ALL.GPU", "MEMBAR.SC.GPU", "CCTL.IVALL"))


def find_cuobjdump() -> str | None:
    """Return the program: of the path, of a CUDA toolkit, or the one that Triton brings; None if there is none."""
    toolkit = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    folders = [os.environ.get("PATH", ""), str(Path(toolkit, "bin"))]
    triton = importlib.util.find_spec("triton")
    packages = (triton.submodule_search_locations or []) if triton else []
    folders += [str(Path(package, "backends", "nvidia", "bin")) for package in packages]
    return shutil.which("cuobjdump", path=os.pathsep.join(folders))


def disassemble(library: Path, architecture: str = "sm_90a") -> dict[str, Instructions] | str:
    """Count the instructions of every function of a library for one architecture.

    Returns:
        Counts by the function's mangled name; or, in a few words, why there are none.
    """
    program = find_cuobjdump()
    if program is None:
        return "cuobjdump is not installed"
    command = [program, "-sass", "-arch", architecture, str(library)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return f"cuobjdump took longer than {_TIMEOUT:g} s"
    counts = count_instructions(result.stdout.splitlines())
    return counts or f"{library.name} has no code for {architecture}"


def count_instructions(lines: Iterable[str]) -> dict[str, Instructions]:
    """Count the instructions of cuobjdump's listing, by the function's mangled name."""
    counts: dict[str, Instructions] = {}
    current = Instructions()
    for line in lines:
        if instruction := _INSTRUCTION.match(line):
            current.add(instruction[1])
        elif function := _FUNCTION.match(line):
            current = counts.setdefault(function[1], Instructions())
    return counts


def kernel_function(kernel: str, precision: str, tile_rows: int, cluster_size: int) -> re.Pattern[str]:
    """Return what the mangled name of a plan's kernel contains.

    Args:
        kernel: "tile", "wgmma" or "cluster", as ``zprl._core.estimate_cuda`` says.
        precision: "float32", "tf32" or "bfloat16".
        tile_rows: Rows of a block.
        cluster_size: Blocks of a cluster.
    """
    name, tiles = {"wgmma": "wgmma_tile_kernel", "cluster": "cluster_kernel"}.get(kernel, ""), ""
    if not name:
        narrow = tile_rows < 16
        name = f"{'narrow_' if narrow else ''}{'multicast_' if cluster_size > 1 else ''}tile_kernel"
        tiles = "" if narrow else f"Li{tile_rows // 16}E"
    unit = _UNITS[precision]
    return re.compile(rf"{len(name)}{name}INS\d*_{len(unit)}{unit}E{tiles}E")
