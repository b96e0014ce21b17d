# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Figures of what a residual on the latent does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zprl.evaluation.plots import COLORS, new_figure, save_figure
from zprl.study.grid import Variant
from zprl.study.latent_analysis import SPACES
from zprl.study.plots import LEARNER_LINES, variant_colors

if TYPE_CHECKING:
    from _typeshed import StrPath


def plot_shift(
    path: StrPath, variants: Sequence[Variant], analyses: Mapping[str, Sequence[Mapping[str, Any]]], title: str
) -> None:
    """Draw how far residuals move z, features and actions, and whether they leave the demonstrations.

    Lines are of residuals that nobody learned, dots of learned ones at the observations that they lead to. Changes are
    relative, distances are from the demonstrations, as :class:`zprl.study.latent_analysis.Demonstrated` measures them.

    Args:
        path: PNG file to create or to replace.
        variants: Variants of the study.
        analyses: What :func:`zprl.study.latent_analysis.analyse` returned for the runs, by the variant's name.
        title: Title of the figure.
    """
    panels = [("change", "features"), ("change", "actions"), *(("distance", space) for space in SPACES)]
    colors = variant_colors(variants)
    figure = new_figure(11.0, 6.4)
    all_axes = figure.subplots(2, 3).flatten()
    for axes, (measure, space) in zip(all_axes, panels, strict=False):
        for variant in variants:
            runs = analyses.get(variant.name, [])
            if not runs:
                continue
            color, line = colors[variant.name], LEARNER_LINES[variant.algorithm]
            rows = runs[0]["random"]
            axes.plot(
                [row["change"]["latent"] for row in rows],
                [row[measure][space] for row in rows],
                color=color,
                linestyle=line,
                linewidth=1.0,
                alpha=0.7,
            )
            learned = [run["steered_visited"] for run in runs]
            axes.plot(
                [row["change"]["latent"] for row in learned],
                [row[measure][space] for row in learned],
                color=color,
                linestyle="",
                marker="o" if variant.algorithm == "ppo" else "s",
                label=variant.label,
            )
        axes.set_xlabel("RMS(λ dz) / RMS(z)")
        axes.set_ylabel(f"{measure} of {space}")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(color="#DDDDDD", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = all_axes[0].get_legend_handles_labels()
    all_axes[-1].axis("off")
    all_axes[-1].legend(handles, labels, loc="center", frameon=False, fontsize="small", title=title)
    save_figure(figure, path)


def plot_maps(path: StrPath, variants: Sequence[Variant], analyses: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw decoded features and actions before and after steering, in the demonstrations' principal planes.

    Args:
        path: PNG file to create or to replace.
        variants: Variants of the study; a row of the first seed for each that was analysed, at least one.
        analyses: What :func:`zprl.study.latent_analysis.analyse` returned for the runs, by the variant's name.
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
            axes.set_title(f"{variant.label}: {space}", loc="left", fontsize="medium")
            axes.set_xlabel(
                f"principal components, {100 * points['explained']:.0f} % of the variance", fontsize="small"
            )
            axes.tick_params(labelsize="small")
            axes.spines[["top", "right"]].set_visible(False)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    save_figure(figure, path)
