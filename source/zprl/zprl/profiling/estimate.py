# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the policy step is expected to take on an H200, without one.

Plans and times are those of the kernels' own planner and cost model (csrc/core/cuda/cost_model.h), which says where its
constants come from. Nothing is measured here. ``python -m zprl.profiling.estimate docs/performance.md`` renews the
table and the list that are between two comments there.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prettytable import PrettyTable

from zprl.policies.native.blob import pack_policy
from zprl.policies.native.library import torch_library_path
from zprl.profiling.profiler import ProfileSettings
from zprl.profiling.sass import Kernel, count, device_fences, disassemble, kernel_function
from zprl.profiling.shapes import make_shape
from zprl.utils.errors import ZprlError
from zprl.utils.native import native_core

BATCHES = (1, 64, 1024, 8192)
DTYPES = ("bfloat16",)
GOALS = {
    **{("A", "bfloat16", batch): goal for batch, goal in zip(BATCHES, (35.0, 45.0, 90.0, 190.0), strict=True)},
    **{("B", "bfloat16", batch): goal for batch, goal in zip(BATCHES, (70.0, 90.0, 250.0, 950.0), strict=True)},
}
"""Times to reach on an H200, replayed from a CUDA graph [us], by shape, precision and batch."""

FAR_FROM_GOAL = 1.3
"""From so many times the goal on, an estimate says what stands between the two."""

FLOORS = {"tensor": "tensor", "level2": "level-2 cache", "shared": "shared memory", "chain": "chain"}
PARTS = {
    "products": "products",
    "once": "layers that run once",
    "finishing": "finishing",
    "norms": "layer norms",
    "latency": "latency",
}
DOCUMENTED = re.compile(r"(<!-- estimates[^\n]*-->\n).*?(\n<!-- end of estimates -->)", re.DOTALL)

LEGEND = """\
Estimated, not measured: an H200 at 1.98 GHz whose GPCs hold 15 clusters of 8 blocks, by the planner's cost model
(csrc/core/cuda/cost_model.cpp names each constant's source: the vendor, measurements of others or of these kernels on
an H200, or our estimate). All times in us. Floors, which the plan cannot beat: tensor, the products at the matrix
unit's rate; L2, traffic from the level-2 cache; shared, from shared memory; chain, its dependent layers at bare
latencies. share: goal over estimate. SASS: instructions of the kernel for sm_90a as this build has it, each counted
once; of them matrix: products of the matrix unit; fences: for the whole GPU, or dropping the level-1 cache. The list
is of estimates far from their goals: what a wave takes, largest first; latency: barriers, the way from a layer's
input to its products, and that of its results to other blocks; finishing: bias, activation, gate, solver."""


@dataclass(frozen=True)
class Instructions:
    """Numbers of a kernel's instructions, each counted once however often it runs."""

    total: int
    """Without those that fill up the code."""
    matrix: int
    """Products of a matrix unit."""
    device_fences: int
    """See :func:`zprl.profiling.sass.device_fences`."""

    @classmethod
    def of(cls, kernel: Kernel) -> Instructions:
        """Count those of a kernel."""
        every = kernel.instructions
        return cls(len(every) - count(every, "NOP"), count(every, "HG?MMA.*"), device_fences(every))


@dataclass(frozen=True)
class Estimate:
    """A plan and its expected time. Times are in microseconds."""

    shape: str
    dtype: str
    batch: int
    plan: str
    waves: int
    floors: dict[str, float]
    """By "tensor", "level2", "shared" and "chain"."""
    parts: dict[str, float]
    """Of one wave, by "products", "once" (of the layers before the flow), "finishing", "norms", "latency", and
    "level2": what of the level-2 cache's time the others do not hide, or in a cluster all of it, beside the others."""
    floor: float
    """The highest of the floors."""
    total: float
    bound: str
    """The largest part."""
    in_clusters: bool
    """Whether the plan's kernel is that of clusters, where the level-2 cache's time passes beside all others."""
    goal: float | None
    """None where there is none."""
    instructions: Instructions | None
    """Of the plan's kernel; None without cuobjdump or a build of it."""

    @property
    def floor_name(self) -> str:
        """What the highest floor is of."""
        return FLOORS[max(self.floors, key=lambda name: self.floors[name])]

    @property
    def gap(self) -> str:
        """What stands between the estimate and a goal that is far from it, by the model's parts; else empty."""
        if self.goal is None or self.total <= FAR_FROM_GOAL * self.goal:
            return ""
        parts = {PARTS[name]: time for name, time in self.parts.items() if name in PARTS}
        cache = self.parts["level2"]
        waves = "" if self.waves == 1 else f"{self.waves} x ("
        if not self.in_clusters:
            parts["level-2 cache"] = cache
        time = sum(parts.values())
        if self.in_clusters and cache >= time:
            wave = f"level-2 cache {cache:.1f}, beside which all else passes ({time:.1f})"
            time = cache
        else:
            largest = sorted(parts, key=lambda name: -parts[name])
            wave = " + ".join(f"{name} {parts[name]:.1f}" for name in largest)
        launch = self.total - self.waves * time
        place = "above the goal: it takes another plan" if self.floor > self.goal else "within the goal"
        return (
            f"{self.shape}, batch {self.batch:,}: {self.total / self.goal:.2f} times the goal of {self.goal:.0f}. "
            f"Highest floor: {self.floor_name}, {self.floor:.1f}, {place}. "
            f"{self.total:.0f} = {waves}{wave}{')' if waves else ''} + launch {launch:.1f}."
        )


@dataclass(frozen=True)
class EstimateReport:
    """All estimates, and why there are no instructions, if so."""

    estimates: Sequence[Estimate]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "estimated_not_measured": True,
            "note": self.note,
            "estimates": [asdict(each) for each in self.estimates],
        }


def estimate_policy_step(settings: ProfileSettings) -> EstimateReport:
    """Plan every shape, precision and batch size for an H200, and estimate its time.

    The environment variable ZPRL_CUDA_KERNEL limits the kernels, as on a GPU.

    Raises:
        ZprlError: If a setting is wrong, the native module does not load, or a policy has no plan.
    """
    settings.check_cells()
    compiled = disassemble(torch_library_path())
    core, kernels = native_core(), os.environ.get("ZPRL_CUDA_KERNEL", "")
    estimates = []
    for name in settings.shapes:
        for solver in settings.solvers or [None]:
            for steps in settings.steps or [None]:
                shape = make_shape(name, solver, steps, settings.seed)
                for dtype in settings.dtypes:
                    weights = "bfloat16" if dtype == "bfloat16" else "float32"
                    blob = pack_policy(shape.policy, weights, whole=False).numpy()
                    for batch in settings.batches:
                        try:
                            planned = core.estimate_cuda(blob, dtype, batch, kernels)
                        except ValueError as error:
                            raise ZprlError(f"{shape.name}, {dtype}: {str(error).removeprefix('zprl: ')}") from error
                        estimates.append(_estimate(shape.name, dtype, batch, planned, compiled))
    return EstimateReport(estimates, compiled if isinstance(compiled, str) else "")


def _estimate(shape: str, dtype: str, batch: int, planned: dict[str, Any], compiled: list[Kernel] | str) -> Estimate:
    kernel, placement = planned.pop("kernel"), planned.pop("placement")
    pattern = kernel_function(kernel, dtype, planned.pop("tile_rows"), planned.pop("cluster_size"), placement)
    found = [] if isinstance(compiled, str) else [kernel for kernel in compiled if pattern.search(kernel.name)]
    instructions = Instructions.of(found[0]) if found else None
    goal = GOALS.get((shape, dtype, batch))
    clusters = kernel == "cluster"
    return Estimate(shape, dtype, batch, in_clusters=clusters, goal=goal, instructions=instructions, **planned)


def estimate_text(report: EstimateReport) -> str:
    """Return the estimates as a table, the plans, and what the columns mean."""
    columns = ["tensor", "L2", "shared", "chain", "estimate", "goal", "share", "SASS", "matrix", "fences"]
    table = PrettyTable(["shape", "batch", *columns, "bound by"], align="r")
    table.align.update({"shape": "l", "bound by": "l"})
    plans = []
    for each in report.estimates:
        count = each.instructions
        table.add_row(
            [
                f"{each.shape}, {each.dtype}",
                f"{each.batch:,}",
                *(f"{floor:,.1f}" for floor in each.floors.values()),
                f"{each.total:,.0f}",
                "-" if each.goal is None else f"{each.goal:,.0f}",
                "-" if each.goal is None else f"{100.0 * each.goal / each.total:.0f} %",
                *(("-",) * 3 if count is None else (f"{count.total:,}", f"{count.matrix}", f"{count.device_fences}")),
                each.bound,
            ]
        )
        waves = "" if each.waves == 1 else f", in {each.waves} waves"
        plans.append(f"{each.shape}, {each.dtype}, batch {each.batch:,}: {each.plan}{waves}")
    gaps = [each.gap for each in report.estimates if each.gap]
    notes = [f"Instructions are left out: {report.note}."] if report.note else []
    blocks = [table.get_string(), "\n".join(plans), "\n".join(gaps), "\n".join([*notes, LEGEND])]
    return "\n\n".join(block for block in blocks if block)


def estimate_markdown(report: EstimateReport) -> str:
    """Return the same as documentation: a table, and a list of what stands between estimates and goals."""
    columns = ["", "batch", *FLOORS.values(), "estimate", "goal", "share", "instructions", "largest part"]
    rows = [columns, ["---"] * len(columns)]
    for each in report.estimates:
        share = "-" if each.goal is None else f"{100.0 * each.goal / each.total:.0f} %"
        rows.append(
            [
                each.shape,
                f"{each.batch:,}",
                *(f"{floor:,.1f}" for floor in each.floors.values()),
                f"{each.total:,.0f}",
                "-" if each.goal is None else f"{each.goal:,.0f}",
                share,
                "-" if each.instructions is None else f"{each.instructions.total:,}",
                each.bound,
            ]
        )
    table = ["| " + " | ".join(row) + " |" for row in rows]
    gaps = [f"- {each.gap}" for each in report.estimates if each.gap]
    return "\n".join(["", *table, "", *gaps, ""])


def renew_documentation(path: Path) -> None:
    """Put new estimates between the comments of a Markdown file.

    Raises:
        ZprlError: If the file cannot be read or has no such comments.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ZprlError(f"{path} cannot be read ({error.strerror}).") from error
    if not DOCUMENTED.search(text):
        raise ZprlError(
            f"{path} has no comments '<!-- estimates -->' and '<!-- end of estimates -->' to write between."
        )
    markdown = estimate_markdown(estimate_policy_step(ProfileSettings(batches=BATCHES, dtypes=DTYPES)))
    path.write_text(DOCUMENTED.sub(lambda found: found[1] + markdown + found[2], text))


if __name__ == "__main__":
    try:
        renew_documentation(Path(sys.argv[1]))
    except ZprlError as error:
        sys.exit(f"error: {error}")
