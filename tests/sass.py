# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The machine code (SASS) of CUDA kernels: what the compiler made of them, which can be read without a GPU.

``python -m tests.sass source/zprl/zprl/libzprl_torch.so`` prints the table that docs/performance.md quotes.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import networkx

# "        /*0310*/              @!P0 BRA `(.L_x_13) ;" and ".L_x_13:"
INSTRUCTION = re.compile(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
LABEL = re.compile(r"(\.L_\w+):")
TARGET = re.compile(r"`\((\.L_\w+)\)")
FUNCTION = re.compile(r"\.text\.(\w+):")
PRODUCTS = ("HGMMA", "HMMA")
BYTES_OF_AN_INSTRUCTION = 16


@dataclass(frozen=True)
class Instruction:
    """One instruction of a kernel.

    Attributes:
        name: With its modifiers, as ``MEMBAR.ALL.GPU``.
        predicated: Whether a predicate decides if it runs.
        target: The label that it may jump to.
    """

    name: str
    predicated: bool = False
    target: str | None = None

    @property
    def operation(self) -> str:
        return self.name.partition(".")[0]


@dataclass
class Kernel:
    """A kernel's instructions in their order, the places that labels name, and its registers per thread."""

    name: str
    registers: int = 0
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return len(self.instructions) * BYTES_OF_AN_INSTRUCTION

    @cached_property
    def flow(self) -> networkx.DiGraph:
        """Which instruction can follow which, by their places."""
        graph = networkx.DiGraph()
        graph.add_nodes_from(range(len(self.instructions)))
        for i, instruction in enumerate(self.instructions):
            leaves = instruction.operation in ("BRA", "EXIT", "RET") and not instruction.predicated
            if not leaves and i + 1 < len(self.instructions):
                graph.add_edge(i, i + 1)
            if instruction.target in self.labels and instruction.operation != "BSSY":
                graph.add_edge(i, self.labels[instruction.target])
        return graph

    @cached_property
    def in_loops(self) -> list[Instruction]:
        """Instructions that can run more than once."""
        return [self.instructions[i] for loop in cycles(self.flow) for i in sorted(loop)]

    @cached_property
    def product_loops(self) -> list[list[Instruction]]:
        """The innermost loops of products: what runs from one to its next turn, on the shortest way."""
        loops: list[list[int]] = []
        for i, instruction in enumerate(self.instructions):
            if instruction.operation not in PRODUCTS or any(i in loop for loop in loops):
                continue
            ways = networkx.single_source_shortest_path(self.flow, i)
            ends = [ways[before] for before in self.flow.predecessors(i) if before in ways]
            if ends:
                loops.append(min(ends, key=len))
        return [[self.instructions[i] for i in loop] for loop in loops]


def cycles(graph: networkx.DiGraph) -> list[set[int]]:
    """Largest sets of places from each of which the program can come back to all of them."""
    parts = networkx.strongly_connected_components(graph)
    return [part for part in parts if len(part) > 1 or any(graph.has_edge(i, i) for i in part)]


def parse(text: str) -> list[Kernel]:
    """Read what ``nvdisasm -c`` prints."""
    kernels: list[Kernel] = []
    for line in text.splitlines():
        if function := FUNCTION.match(line):
            kernels.append(Kernel(function[1]))
        elif not kernels:
            continue
        elif label := LABEL.match(line):
            kernels[-1].labels[label[1]] = len(kernels[-1].instructions)
        elif instruction := INSTRUCTION.match(line):
            target = TARGET.search(instruction[4])
            kernels[-1].instructions.append(
                Instruction(instruction[3], bool(instruction[2]), target[1] if target else None)
            )
    return kernels


def count(instructions: list[Instruction], *patterns: str) -> int:
    """How many instructions' names match one of the patterns in full."""
    joined = re.compile("|".join(patterns))
    return sum(joined.fullmatch(each.name) is not None for each in instructions)


def stalls(kernel: Kernel) -> int:
    """Memory barriers across the GPU, and invalidations of the level-1 cache, in loops."""
    return count(kernel.in_loops, r"MEMBAR.*\.(GPU|SYS|VC).*", r"CCTL\.IVALL.*")


def generic_accesses(instructions: list[Instruction]) -> int:
    """Loads and stores whose kind of memory is known only when they run."""
    return count(instructions, r"(LD|ST)(\..*)?")


def find_tool(name: str) -> str | None:
    """A tool of the CUDA toolkit, or the copy that comes with triton."""
    spec = find_spec("triton")
    folder = Path(spec.origin or "").parent / "backends/nvidia/bin" if spec else None
    return shutil.which(name) or (shutil.which(name, path=folder) if folder else None)


def disassemble(library: Path, architecture: str, folder: Path) -> list[Kernel]:
    """Kernels of a library, an object or a cubin for one architecture, as ``90a``."""
    cuobjdump, nvdisasm = find_tool("cuobjdump"), find_tool("nvdisasm")
    assert cuobjdump is not None
    assert nvdisasm is not None
    extract = [cuobjdump, "-xelf", "all", "-arch", f"sm_{architecture}", str(library.resolve())]
    subprocess.run(extract, cwd=folder, check=True, capture_output=True, timeout=120)
    kernels: list[Kernel] = []
    for cubin in sorted(folder.glob("*.cubin")):
        listing, usage = (
            subprocess.run([*command, cubin], check=True, capture_output=True, text=True, timeout=300).stdout
            for command in ((nvdisasm, "-c"), (cuobjdump, "-res-usage"))
        )
        registers = dict(re.findall(r"Function (\w+):\s+REG:(\d+)", usage))
        for kernel in parse(listing):
            kernel.registers = int(registers[kernel.name])
            kernels.append(kernel)
    return kernels


def short_name(kernel: str) -> str:
    """``wgmma_tile_kernel<Bf16>`` of a mangled name."""
    parts = re.search(r"\d([a-z_]+_kernel)INS0_\d+(\w+?)Unit(?:E?Li(\d+))?", kernel)
    if parts is None:
        return kernel
    return f"{parts[1]}<{parts[2]}{', ' + parts[3] if parts[3] else ''}>"


def table(kernels: list[Kernel]) -> str:
    """A line for each kernel that is not empty."""
    titles = ("KiB", "regs", "stalls", "local", "HGMMA", "HMMA", "shared", "generic")
    lines = ["".join([f"{'kernel':32}", *(f"{title:>8}" for title in titles)])]
    for kernel in kernels:
        if len(kernel.instructions) < 100:
            continue
        every = kernel.instructions
        numbers = (
            kernel.bytes // 1024,
            kernel.registers,
            stalls(kernel),
            count(every, r"(LDL|STL).*"),
            count(every, "HGMMA.*"),
            count(every, "HMMA.*"),
            count(every, r"(LDS|STS|LDSM).*"),
            generic_accesses(every),
        )
        lines.append("".join([f"{short_name(kernel.name):32}", *(f"{number:8}" for number in numbers)]))
    return "\n".join(lines)


if __name__ == "__main__":
    for name in ("80", "90a"):
        with tempfile.TemporaryDirectory() as temporary:
            print(f"sm_{name}\n{table(disassemble(Path(sys.argv[1]), name, Path(temporary)))}")
