# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Figures of a study's report, each a PNG file that is created or replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zprl.evaluation.plots import BASE_COLOR, COLORS, label_success_over_steps, new_figure, save_figure, style_axes
from zprl.rl.methods import METHODS
from zprl.study.grid import Variant
from zprl.study.latent_analysis import SPACES
from zprl.study.results import Estimate, VariantResult
from zprl.study.summary import GAP_LEVEL, VariantSummary

if TYPE_CHECKING:
    from _typeshed import StrPath

Analyses = Mapping[str, Sequence[Mapping[str, Any]]]
"""What :func:`zprl.study.latent_analysis.analyse` returned for a study's runs, by the variant's name."""

_LEARNER_LINES = {"ppo": "-", "sac": "--"}
_LEARNER_MARKERS = {"ppo": "o", "sac": "s"}

_METHOD_COLORS = dict(zip(METHODS, COLORS, strict=True))

_ABLATION_SERIES = (
    ("final", COLORS[0], "final_success"),
    ("mean over the budget", COLORS[2], "area_under_curve"),
    ("base policy", BASE_COLOR, "base_success"),
)
"""Label, colour and attribute of :class:`VariantResult` of each line of :func:`plot_ablation`."""

_SUMMARY_PANELS = (
    ("final_success", "final success [%]", 100.0),
    ("gap_closed", "gap closed [%]", 100.0),
    ("steps_to_gap_level", f"10³ steps to {100 * GAP_LEVEL:.0f} % of the gap", 1e-3),
)
"""Attribute of :class:`VariantSummary`, label and factor of each upper panel of :func:`plot_summary`."""


def variant_styles(variants: Sequence[Variant]) -> dict[str, dict[str, Any]]:
    """Return each variant's line by its name: its colour is the method's own, or one per value of an ablation."""
    values = sorted({variant.value for variant in variants if variant.value is not None})
    colors: Mapping[float | None, Any] = {}
    if values:
        from matplotlib import colormaps
        from matplotlib.colors import to_hex

        shades = colormaps["viridis"](np.linspace(0.0, 0.9, len(values)))
        colors = {None: COLORS[1], **{value: to_hex(shade) for value, shade in zip(values, shades, strict=True)}}
    return {
        variant.name: {
            "color": colors[variant.value] if values else _METHOD_COLORS[variant.method],
            "linestyle": _LEARNER_LINES[variant.algorithm],
        }
        for variant in variants
    }


def plot_curves(path: StrPath, results: Sequence[VariantResult], marks: Sequence[int], title: str) -> None:
    """Draw success against environment steps and against minutes, means with 95% intervals over the seeds.

    Marks are the environment steps of the evaluations. Variants without a finished run are left out.
    """
    results = [result for result in results if result.runs]
    styles = variant_styles([result.variant for result in results])
    figure = new_figure(11.0, 4.4)
    over_steps, over_minutes = figure.subplots(1, 2, sharey=True)
    for result in results:
        curve, style = result.curve(), styles[result.variant.name]
        means = 100 * np.array([np.mean([run.start for run in result.runs]), *(point.mean for point in curve)])
        low, high = 100 * np.array([(0.0, 0.0), *(_error(point) for point in curve)]).T
        for axes, x in ((over_steps, [0, *marks]), (over_minutes, [0, *result.curve_minutes()])):
            axes.plot(x, means, linewidth=1.8, label=result.variant.label, **style)
            axes.fill_between(x, means - low, means + high, color=style["color"], alpha=0.12, linewidth=0)
    label_success_over_steps(over_steps)
    over_minutes.set_xlabel("minutes of reinforcement learning")
    for axes in (over_steps, over_minutes):
        axes.set_xlim(left=0)
        axes.set_ylim(-2, 102)
        style_axes(axes, title if axes is over_steps else "")
    handles, labels = over_steps.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    save_figure(figure, path)


def plot_ablation(path: StrPath, results: Sequence[VariantResult], symbol: str, title: str) -> None:
    """Draw final success and the area under the curve against an ablation's values, with 95% intervals over the seeds.

    The symbol is the name of the setting that is varied.
    """
    results = [result for result in results if result.runs]
    values = sorted({result.variant.value for result in results if result.variant.value is not None})
    places = {value: place for place, value in enumerate(values)}
    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    for algorithm, line in _LEARNER_LINES.items():
        ours = [result for result in results if result.variant.algorithm == algorithm]
        for name, color, key in _ABLATION_SERIES:
            estimates: Mapping[float | None, Estimate] = {r.variant.value: getattr(r, key) for r in ours}
            shown = [(places[value], estimates[value]) for value in values if value in estimates]
            if not shown:
                continue
            label = f"{name}, {algorithm.upper()}"
            axes.errorbar(
                [place for place, _ in shown],
                [100 * estimate.mean for _, estimate in shown],
                yerr=100 * np.array([_error(estimate) for _, estimate in shown]).T,
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
    style_axes(axes, title)
    axes.legend(frameon=False, fontsize="small")
    save_figure(figure, path)


def plot_summary(path: StrPath, summaries: Sequence[VariantSummary], marks: Sequence[int], title: str) -> None:
    """Draw what variants reach over all tasks, and the share of the gap that they have closed over environment steps.

    Dots, lines and bands are interquartile means with 95% intervals. Marks are the environment steps of the
    evaluations. Variants without estimates are left out.
    """
    summaries = [summary for summary in summaries if summary.final_success is not None]
    styles = variant_styles([summary.variant for summary in summaries])
    dots = 0.9 + 0.28 * len(summaries)
    figure = new_figure(11.0, dots + 3.6)
    names = [attribute for attribute, _, _ in _SUMMARY_PANELS]
    mosaic: list[Any] = [names, ["curve"] * len(names)]
    all_axes = figure.subplot_mosaic(mosaic, height_ratios=[dots, 3.6])
    for attribute, label, factor in _SUMMARY_PANELS:
        axes = all_axes[attribute]
        for place, summary in enumerate(summaries):
            estimate: Estimate | None = getattr(summary, attribute)
            if estimate is None:
                continue
            dot = {
                "color": styles[summary.variant.name]["color"],
                "marker": _LEARNER_MARKERS[summary.variant.algorithm],
            }
            error = factor * np.array(_error(estimate))[:, None]
            axes.errorbar(factor * estimate.mean, place, xerr=error, capsize=3, linewidth=1.8, **dot)
        shown = axes is all_axes[names[0]]
        axes.set_yticks(range(len(summaries)), [s.variant.label if shown else "" for s in summaries])
        axes.set_ylim(len(summaries) - 0.5, -0.5)
        axes.set_xlabel(label)
        style_axes(axes, title if shown else "")
    over_steps = all_axes["curve"]
    for summary in summaries:
        if not summary.curve:
            continue
        means = 100 * np.array([point.mean for point in summary.curve])
        low, high = 100 * np.array([_error(point) for point in summary.curve]).T
        style = styles[summary.variant.name]
        over_steps.plot([0, *marks], means, linewidth=1.8, label=summary.variant.label, **style)
        over_steps.fill_between([0, *marks], means - low, means + high, color=style["color"], alpha=0.12, linewidth=0)
    label_success_over_steps(over_steps)
    over_steps.set_ylabel("gap closed [%]")
    over_steps.set_xlim(left=0)
    style_axes(over_steps)
    handles, labels = over_steps.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    save_figure(figure, path)


def _error(estimate: Estimate) -> tuple[float, float]:
    """Return how far the interval reaches below and above the mean."""
    if estimate.low is None or estimate.high is None:
        return 0.0, 0.0
    return estimate.mean - estimate.low, estimate.high - estimate.mean


def plot_shift(path: StrPath, variants: Sequence[Variant], analyses: Analyses, title: str) -> None:
    """Draw how far residuals move z, features and actions, and whether they leave the demonstrations.

    Lines are of residuals that nobody learned, dots of learned ones at the observations that they lead to. Changes are
    relative, distances are from the demonstrations, as :class:`zprl.study.latent_analysis.Demonstrated` measures them.
    """
    panels = [("change", "features"), ("change", "actions"), *(("distance", space) for space in SPACES)]
    styles = variant_styles(variants)
    figure = new_figure(11.0, 6.4)
    all_axes = figure.subplots(2, 3).flatten()
    for axes, (measure, space) in zip(all_axes, panels, strict=False):
        for variant in variants:
            runs = analyses.get(variant.name, [])
            if not runs:
                continue
            learned = {
                "color": styles[variant.name]["color"],
                "linestyle": "",
                "marker": _LEARNER_MARKERS[variant.algorithm],
                "label": variant.label,
            }
            for rows, style in (
                (runs[0]["random"], {"linewidth": 1.0, "alpha": 0.7, **styles[variant.name]}),
                ([run["steered_visited"] for run in runs], learned),
            ):
                axes.plot([row["change"]["latent"] for row in rows], [row[measure][space] for row in rows], **style)
        axes.set_xlabel("RMS(λ dz) / RMS(z)")
        axes.set_ylabel(f"{measure} of {space}")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        style_axes(axes)
    handles, labels = all_axes[0].get_legend_handles_labels()
    all_axes[-1].axis("off")
    all_axes[-1].legend(handles, labels, loc="center", frameon=False, fontsize="small", title=title)
    save_figure(figure, path)


def plot_maps(path: StrPath, variants: Sequence[Variant], analyses: Analyses) -> None:
    """Draw decoded features and actions before and after steering, in the demonstrations' principal planes.

    There is a row of the first seed for each variant that was analysed, at least one.
    """
    shown = [variant for variant in variants if analyses.get(variant.name)]
    figure = new_figure(9.0, 3.6 * len(shown))
    grid = figure.subplots(len(shown), 2, squeeze=False)
    for variant, row in zip(shown, grid, strict=True):
        for space, axes in zip(("features", "actions"), row, strict=True):
            points = analyses[variant.name][0]["maps"][space]
            for kind, color, size in (
                ("demonstrations", "#BBBBBB", 5),
                ("before", COLORS[0], 8),
                ("after", COLORS[1], 8),
            ):
                x, y = np.array(points[kind]).T
                axes.scatter(x, y, s=size, color=color, alpha=0.6, linewidths=0, label=kind)
            share = f"{100 * points['explained']:.0f} % of the variance"
            axes.set_xlabel(f"principal components, {share}", fontsize="small")
            axes.set_title(f"{variant.label}: {space}", loc="left", fontsize="medium")
            axes.tick_params(labelsize="small")
            axes.spines[["top", "right"]].set_visible(False)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    save_figure(figure, path)
