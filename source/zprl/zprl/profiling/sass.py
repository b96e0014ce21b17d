# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the compiler made of the CUDA kernels: their machine code (SASS), which can be read without a GPU.

``python -m zprl.profiling.sass source/zprl/zprl/libzprl_torch.so`` prints the table that docs/performance.md quotes.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx

# "        Function : _ZN4zprl..." and "        /*0310*/              @!P0 BRA 0x2a0 ;    /* 0x000... */"
_FUNCTION = re.compile(r"\s*Function : (\S+)")
_INSTRUCTION = re.compile(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_ADDRESS = re.compile(r"(?:^|[\s,])0x([0-9a-f]+)$")
_JUMPS = ("BRA", "BRX", "JMP", "CALL")
_UNITS = {"float32": "Fp32Unit", "tf32": "Tf32Unit", "bfloat16": "Bf16Unit"}
_PRODUCTS = ("HGMMA", "HMMA")
_BYTES_OF_AN_INSTRUCTION = 16
_TIMEOUT = 120.0


@dataclass(frozen=True)
class Instruction:
    """One instruction of a kernel."""

    name: str
    """With its modifiers, for example "HGMMA.64x128x16.F32.BF16"."""
    address: int = 0
    """Where it is in the kernel [bytes]."""
    predicated: bool = False
    """Whether a predicate decides if it runs."""
    target: int | None = None
    """The address that it may jump to."""

    @property
    def operation(self) -> str:
        """Its name without the modifiers."""
        return self.name.partition(".")[0]


@dataclass
class Kernel:
    """A kernel's instructions in their order, and its registers per thread."""

    name: str
    """Mangled."""
    instructions: list[Instruction] = field(default_factory=list)
    registers: int = 0

    @property
    def bytes(self) -> int:
        """Size of its code [bytes]."""
        return len(self.instructions) * _BYTES_OF_AN_INSTRUCTION

    @property
    def short_name(self) -> str:
        """Without the name spaces and arguments, for example "tile_kernel<Bf16, 4>"."""
        parts = re.search(r"\d([a-z_]+_kernel)INS\d*_\d+(\w+?)Unit(?:E?Li(\d+)|ELNS\d*_9PlacementE(\d))?", self.name)
        if parts is None:
            return self.name
        number = parts[3] or parts[4]
        return f"{parts[1]}<{parts[2]}{', ' + number if number else ''}>"

    @cached_property
    def flow(self) -> networkx.DiGraph:
        """Which instruction can follow which, by their places."""
        import networkx  # which torch requires

        graph = networkx.DiGraph()
        graph.add_nodes_from(range(len(self.instructions)))
        places = {each.address: i for i, each in enumerate(self.instructions)}
        for i, instruction in enumerate(self.instructions):
            leaves = instruction.operation in ("BRA", "EXIT", "RET") and not instruction.predicated
            if not leaves and i + 1 < len(self.instructions):
                graph.add_edge(i, i + 1)
            if instruction.operation in _JUMPS and instruction.target in places:
                graph.add_edge(i, places[instruction.target])
        return graph

    @cached_property
    def loops(self) -> list[list[Instruction]]:
        """The outermost loops: in each, every instruction can run again after any other."""
        import networkx

        parts = networkx.strongly_connected_components(self.flow)
        loops = [part for part in parts if len(part) > 1 or any(self.flow.has_edge(i, i) for i in part)]
        return [[self.instructions[i] for i in sorted(loop)] for loop in loops]

    @property
    def in_loops(self) -> list[Instruction]:
        """Instructions that can run more than once."""
        return [instruction for loop in self.loops for instruction in loop]

    @cached_property
    def product_loops(self) -> list[list[Instruction]]:
        """The innermost loops of products: what runs from one to its next turn, on the shortest way."""
        import networkx

        loops: list[list[int]] = []
        for i, instruction in enumerate(self.instructions):
            if instruction.operation not in _PRODUCTS or any(i in loop for loop in loops):
                continue
            ways = networkx.single_source_shortest_path(self.flow, i)
            ends = [ways[before] for before in self.flow.predecessors(i) if before in ways]
            if ends:
                loops.append(min(ends, key=len))
        return [[self.instructions[i] for i in loop] for loop in loops]


def count(instructions: Iterable[Instruction], *patterns: str) -> int:
    """Return how many instructions' names match one of the patterns in full."""
    joined = re.compile("|".join(patterns))
    return sum(joined.fullmatch(each.name) is not None for each in instructions)


def device_fences(instructions: Iterable[Instruction]) -> int:
    """Return how many order memory for the whole GPU or drop the level-1 cache; a hot loop should have none."""
    return count(instructions, r"MEMBAR.*\.(GPU|SYS|VC).*", r"CCTL\.IVALL.*")


def divisions(instructions: Iterable[Instruction]) -> int:
    """Return the number of divisions of integers by what is known only at run time: tens of instructions each."""
    return count(instructions, r"I2F\..*RP")


def generic_accesses(instructions: Iterable[Instruction]) -> int:
    """Return the number of loads and stores whose kind of memory is known only when they run."""
    return count(instructions, r"(LD|ST)(\..*)?")


def find_cuobjdump() -> str | None:
    """Return the program: of the path, of a CUDA toolkit, or the one that Triton brings; None if there is none."""
    toolkit = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    folders = [os.environ.get("PATH", ""), str(Path(toolkit, "bin"))]
    triton = importlib.util.find_spec("triton")
    packages = (triton.submodule_search_locations or []) if triton else []
    folders += [str(Path(package, "backends", "nvidia", "bin")) for package in packages]
    return shutil.which("cuobjdump", path=os.pathsep.join(folders))


def disassemble(library: Path, architecture: str = "sm_90a") -> list[Kernel] | str:
    """Read the kernels of a library, an object or a cubin for one architecture.

    Returns:
        The kernels; or, in a few words, why there are none.
    """
    program = find_cuobjdump()
    if program is None:
        return "cuobjdump is not installed"
    listings = []
    for what in ("-sass", "-res-usage"):
        command = [program, what, "-arch", architecture, str(library)]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return f"cuobjdump took longer than {_TIMEOUT:g} s"
        listings.append(result.stdout + result.stderr)
    kernels = parse(*listings)
    return kernels or f"{library.name} has no code for {architecture}"


def parse(listing: str, usage: str = "") -> list[Kernel]:
    """Read what ``cuobjdump -sass`` and ``cuobjdump -res-usage`` print."""
    registers = {name: int(number) for name, number in re.findall(r"Function (\w+):\s+REG:(\d+)", usage)}
    kernels: list[Kernel] = []
    for line in listing.splitlines():
        if instruction := _INSTRUCTION.match(line):
            address, predicate, name, operands = instruction.groups()
            target = _ADDRESS.search(operands)
            kernels[-1].instructions.append(
                Instruction(name, int(address, 16), bool(predicate), int(target[1], 16) if target else None)
            )
        elif function := _FUNCTION.match(line):
            kernels.append(Kernel(function[1], registers=registers.get(function[1], 0)))
    return kernels


def kernel_function(
    kernel: str, precision: str, tile_rows: int, cluster_size: int, placement: int = 0
) -> re.Pattern[str]:
    """Return what the mangled name of a plan's kernel contains.

    Args:
        kernel: "tile", "wgmma" or "cluster", as ``zprl._core.estimate_cuda`` says.
        precision: "float32", "tf32" or "bfloat16".
        tile_rows: Rows of a block.
        cluster_size: Blocks of a cluster.
        placement: Where it keeps what its rows need, for which each kernel on wgmma is compiled.
    """
    name, tiles = {"wgmma": "wgmma_tile_kernel", "cluster": "cluster_kernel"}.get(kernel, ""), ""
    if not name:
        narrow = tile_rows < 16
        name = f"{'narrow_' if narrow else ''}{'multicast_' if cluster_size > 1 else ''}tile_kernel"
        tiles = "" if narrow else f"Li{tile_rows // 16}E"
    elif kernel == "wgmma":
        tiles = rf"LNS\d*_9PlacementE{placement}E"
    unit = _UNITS[precision]
    return re.compile(rf"{len(name)}{name}INS\d*_{len(unit)}{unit}E{tiles}E")


def table(kernels: Iterable[Kernel]) -> str:
    """Return a line for each kernel, with the number of instructions of several kinds."""
    titles = ("KiB", "regs", "fences", "local", "HGMMA", "HMMA", "shared", "generic")
    lines = ["".join([f"{'kernel':32}", *(f"{title:>8}" for title in titles)])]
    for kernel in kernels:
        every = kernel.instructions
        numbers = (
            *(kernel.bytes // 1024, kernel.registers, device_fences(kernel.in_loops)),
            *(count(every, pattern) for pattern in (r"(LDL|STL).*", "HGMMA.*", "HMMA.*", r"(LDS|STS|LDSM).*")),
            generic_accesses(every),
        )
        lines.append("".join([f"{kernel.short_name:32}", *(f"{number:8}" for number in numbers)]))
    return "\n".join(lines)


if __name__ == "__main__":
    for name in ("sm_80", "sm_90a"):
        found = disassemble(Path(sys.argv[1]), name)
        # Launches of each architecture are compiled for all, most of them empty.
        print(f"{name}\n{found if isinstance(found, str) else table(k for k in found if len(k.instructions) > 100)}")
