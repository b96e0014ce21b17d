# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Roofline plot: rate of arithmetic against arithmetic intensity, under the machine's measured limits.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model", 2009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zprl.evaluation.plots import COLORS, new_figure, save_figure
from zprl.profiling.contenders import NATIVE
from zprl.profiling.profiler import DRAM_BYTES, ProfileReport
from zprl.profiling.report import figures

if TYPE_CHECKING:
    from _typeshed import StrPath
    from matplotlib.axes import Axes

RIVAL_COLOR = "#AAAAAA"
_ROOF_COLOR = "#444444"
_DTYPE_MARKERS = {"float32": "o", "tf32": "s", "bfloat16": "^"}
_RIVAL_MARKERS = {
    **{"eager": "x", "jit": "+", "onnx": "1", "compile": "2", "graph": "3", "native_graph": "4"},
    **{"once": "*", "twice": "P"},
}


def plot_roofline(path: StrPath, report: ProfileReport) -> None:
    """Draw every cell: ours in color, rivals in grey.

    The intensity is that of a batch whose rows share one pass over the weights. A step that works on a few rows at a
    time reads them more often, from a cache; its points lie below the roof for that.

    Args:
        path: PNG file to create or to replace.
        report: Profile.

    Raises:
        OSError: If the file cannot be written; see :func:`zprl.utils.files.atomic_write`.
    """
    from matplotlib.ticker import NullFormatter

    figure = new_figure(8.0, 5.2)
    axes = figure.add_subplot(
        xscale="log", yscale="log", xlabel="arithmetic intensity [flop/byte]", ylabel="rate [Gflop/s]"
    )
    for axis in (axes.xaxis, axes.yaxis):  # the numbers between powers of ten would run into each other
        axis.set_minor_formatter(NullFormatter())
    _draw_points(axes, report)
    _draw_roofs(axes, report)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_title(f"{report.machine['gpu'] or report.machine['cpu']}, threads: {report.settings.threads}", loc="left")
    axes.legend(frameon=False, fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(figure, path)


def _draw_points(axes: Axes, report: ProfileReport) -> None:
    colors = {facts.name: COLORS[i % len(COLORS)] for i, facts in enumerate(report.shapes)}
    named = set()
    for cell in report.cells:
        intensity = report.facts(cell.shape).work.intensity(cell.batch, cell.dtype)
        for result in cell.contenders:
            rate = figures(report, cell, result).gflops
            if rate is None:
                continue
            ours = result.name == NATIVE
            label = f"{cell.shape} {cell.dtype}" if ours else result.name
            axes.plot(
                intensity,
                rate,
                linestyle="none",
                marker=_DTYPE_MARKERS[cell.dtype] if ours else _RIVAL_MARKERS[result.name],
                color=colors[cell.shape] if ours else RIVAL_COLOR,
                zorder=3 if ours else 2,
                label="_" if label in named else label,
            )
            named.add(label)
            if ours:
                axes.annotate(
                    str(cell.batch), (intensity, rate), (4, -9), textcoords="offset points", fontsize="x-small"
                )


def _draw_roofs(axes: Axes, report: ProfileReport) -> None:
    limits = report.limits
    low, high = axes.get_xlim()
    x = np.geomspace(low, high, 200)
    top = max(limits.gflops.values(), default=np.inf)
    # The memory's, and that of the level of the caches where the largest core lies.
    sizes = {size for size in limits.gbytes if size != DRAM_BYTES}
    for size in {DRAM_BYTES, *([max(sizes)] if sizes else [])} & set(limits.gbytes):
        name = "memory" if size == DRAM_BYTES else f"{size / 2**20:.1f} MiB"
        axes.plot(
            x,
            np.minimum(x * limits.gbytes[size], top),
            color=_ROOF_COLOR,
            linewidth=1.0,
            linestyle=":" if size == DRAM_BYTES else "-",
            label=f"reading {name}, 1 thread: {limits.gbytes[size]:.0f} GB/s",
        )
    for dtype, peak in limits.gflops.items():
        axes.axhline(
            peak,
            color=_ROOF_COLOR,
            linewidth=1.0,
            linestyle="--" if dtype == "float32" else "-.",
            label=f"{dtype} peak: {peak:,.0f} Gflop/s",
        )
    axes.set_xlim(low, high)
