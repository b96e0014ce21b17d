# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Figures of a study's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zprl.evaluation.plots import BASE_COLOR, COLORS, new_figure, save_figure
from zprl.rl.methods import METHODS
from zprl.study.grid import Variant
from zprl.study.results import VariantResult
from zprl.study.statistics import Estimate

if TYPE_CHECKING:
    from _typeshed import StrPath
    from matplotlib.axes import Axes

LEARNER_LINES = {"ppo": "-", "sac": "--"}
"""Line style of each learner."""

_METHOD_COLORS = dict(zip(METHODS, COLORS, strict=True))


def variant_colors(variants: Sequence[Variant]) -> dict[str, str]:
    """Return each variant's colour by its name: always the method's own, or one per value of an ablation."""
    values = sorted({variant.value for variant in variants if variant.value is not None})
    if not values:
        return {variant.name: _METHOD_COLORS[variant.method] for variant in variants}
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = colormaps["viridis"](np.linspace(0.0, 0.9, len(values)))
    by_value = {value: to_hex(shade) for value, shade in zip(values, shades, strict=True)}
    return {v.name: COLORS[1] if v.value is None else by_value[v.value] for v in variants}


def plot_curves(path: StrPath, results: Sequence[VariantResult], marks: Sequence[int], title: str) -> None:
    """Draw success against environment steps and against minutes, means with 95% intervals over the seeds.

    Args:
        path: PNG file to create or to replace.
        results: Results by variant; those without a finished run are left out.
        marks: Environment steps of the evaluations.
        title: Title of the figure.
    """
    from matplotlib.ticker import EngFormatter

    results = [result for result in results if result.runs]
    colors = variant_colors([result.variant for result in results])
    figure = new_figure(11.0, 4.4)
    over_steps, over_minutes = figure.subplots(1, 2, sharey=True)
    for result in results:
        color, line = colors[result.variant.name], LEARNER_LINES[result.variant.algorithm]
        for axes, x in ((over_steps, list(marks)), (over_minutes, result.curve_minutes())):
            _draw_curve(axes, x, result, color, line)
    over_steps.set_xlabel("environment steps")
    over_steps.set_ylabel("success [%]")
    over_steps.xaxis.set_major_formatter(EngFormatter(sep=""))
    over_steps.set_title(title, loc="left", fontsize="medium")
    over_minutes.set_xlabel("minutes of reinforcement learning")
    for axes in (over_steps, over_minutes):
        axes.set_xlim(left=0)
        axes.set_ylim(-2, 102)
        axes.grid(color="#DDDDDD", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = over_steps.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    save_figure(figure, path)


def _draw_curve(axes: Axes, x: Sequence[float], result: VariantResult, color: str, line: str) -> None:
    curve = result.curve()
    means = 100 * np.array([result.start, *(point.mean for point in curve)])
    low, high = np.array([(0.0, 0.0), *(_error(point) for point in curve)]).T
    axes.plot([0, *x], means, color=color, linestyle=line, linewidth=1.8, label=result.variant.label)
    axes.fill_between([0, *x], means - low, means + high, color=color, alpha=0.12, linewidth=0)


def plot_ablation(path: StrPath, results: Sequence[VariantResult], symbol: str, title: str) -> None:
    """Draw final success and the area under the curve against an ablation's values, with 95% intervals over the seeds.

    Args:
        path: PNG file to create or to replace.
        results: Results by variant.
        symbol: Name of the setting that is varied.
        title: Title of the figure.
    """
    results = [result for result in results if result.runs]
    values = sorted({result.variant.value for result in results if result.variant.value is not None})
    places = {value: place for place, value in enumerate(values)}
    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    for algorithm, line in LEARNER_LINES.items():
        ours = [result for result in results if result.variant.algorithm == algorithm]
        for name, color, key in _ABLATION_SERIES:
            estimates: Mapping[float | None, Estimate] = {r.variant.value: getattr(r, key) for r in ours}
            shown = [(places[value], estimates[value]) for value in values if value in estimates]
            if not shown:
                continue
            low, high = np.array([_error(estimate) for _, estimate in shown]).T
            means = [100 * estimate.mean for _, estimate in shown]
            label = f"{name}, {algorithm.upper()}"
            axes.errorbar(
                [place for place, _ in shown],
                means,
                yerr=[low, high],
                color=color,
                linestyle=line,
                marker="o",
                capsize=3,
                label=label,
            )
            if None in estimates:
                reference = next(r.variant.method for r in ours if r.variant.value is None)
                axes.axhline(100 * estimates[None].mean, color=color, linestyle=":", label=f"{reference}: {label}")
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    axes.set_xlabel(symbol)
    axes.set_ylabel("success [%], 95% interval over seeds")
    axes.set_ylim(-2, 102)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize="medium")
    axes.legend(frameon=False, fontsize="small")
    save_figure(figure, path)


_ABLATION_SERIES = (
    ("final", COLORS[0], "final_success"),
    ("mean over the budget", COLORS[2], "area"),
    ("base policy", BASE_COLOR, "base_success"),
)
"""Label, colour and attribute of :class:`VariantResult` of each line of :func:`plot_ablation`."""


def _error(estimate: Estimate) -> tuple[float, float]:
    """Return how far the interval reaches below and above the mean, in percent."""
    if estimate.low is None or estimate.high is None:
        return 0.0, 0.0
    return 100 * (estimate.mean - estimate.low), 100 * (estimate.high - estimate.mean)
