# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Learning curves as PNG files: success of one or several runs against environment steps and minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zprl.evaluation.history import LearningHistory
from zprl.evaluation.statistics import SuccessRate, wilson_interval
from zprl.utils.files import atomic_write

if TYPE_CHECKING:
    from _typeshed import StrPath
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable with every kind of color vision: M. Okabe and K. Ito, "Color universal design", 2008.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31")
BASE_COLOR = "#555555"

BASE_STYLE: dict[str, Any] = {"linestyle": "--", "linewidth": 1.4}
TRAINING_STYLE: dict[str, Any] = {"linewidth": 0.9, "alpha": 0.7}
EVALUATION_STYLE: dict[str, Any] = {"linewidth": 1.8, "marker": "o", "markersize": 4}


def plot_learning_curve(path: StrPath, history: LearningHistory, base: SuccessRate | None, title: str = "") -> None:
    """Draw the learning curve of one run.

    Args:
        path: PNG file to create or to replace.
        history: What the run recorded.
        base: Success rate of the frozen policy, drawn as a dashed line with its interval.
        title: Title of the figure, such as the task.

    Raises:
        OSError: If the file cannot be written; see :func:`zprl.utils.files.atomic_write`.
    """
    plot_learning_curves(path, {"steered": history}, base, title)


def plot_learning_curves(
    path: StrPath, histories: Mapping[str, LearningHistory], base: SuccessRate | None, title: str = ""
) -> None:
    """Draw the learning curves of several runs into one figure, such as one for each seed.

    A thin line shows the smoothed success during training, where actions are sampled. Points show evaluations, where
    they are not, with a band for the 95% interval.

    Args:
        path: PNG file to create or to replace.
        histories: What each run recorded, by the name for the legend; at least one.
        base: Success rate of the frozen policy, drawn as a dashed line with its interval.
        title: Title of the figure, such as the task.

    Raises:
        OSError: If the file cannot be written; see :func:`zprl.utils.files.atomic_write`.
    """
    from matplotlib.ticker import EngFormatter

    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    last_step = max((step for h in histories.values() for step in (*h.steps, *h.evaluation_steps)), default=1)

    if base is not None:
        axes.axhspan(100 * base.low, 100 * base.high, color=BASE_COLOR, alpha=0.12, linewidth=0)
        axes.axhline(100 * base.rate, color=BASE_COLOR, **BASE_STYLE)
    colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(histories)}
    for name, history in histories.items():
        _draw_run(axes, history, colors[name], band_alpha=0.15 if len(histories) == 1 else 0.08)

    axes.set_xlim(0, max(last_step, 1))
    axes.set_ylim(-2, 102)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("success [%]")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.spines["right"].set_visible(False)
    _add_minutes(axes, max(histories.values(), key=lambda h: h.steps[-1] if h.steps else 0))
    axes.set_title(title, loc="left", fontsize="medium")
    _add_legend(axes, colors, base is not None)
    save_figure(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure.

    It is made without pyplot, which would open windows and keep every figure in memory.

    Args:
        width: Width [inch].
        height: Height [inch].
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: StrPath) -> None:
    """Write a figure that :func:`new_figure` made.

    Args:
        figure: The figure.
        path: PNG file to create or to replace.

    Raises:
        OSError: If the file cannot be written; see :func:`zprl.utils.files.atomic_write`.
    """
    from PIL import Image

    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    # A palette of 256 colors is plenty for lines and makes the file, which may end up in a repository, much smaller.
    image = Image.fromarray(pixels).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    with atomic_write(path) as file:
        image.save(file, format="png", optimize=True)


def moving_average(values: Sequence[float | None], window: int) -> np.ndarray:
    """Return the centered moving average, which uses what there is at both ends and at missing values.

    Args:
        values: Values, shape (N,); None or NaN where there is none.
        window: Number of neighbors to average, itself included; rounded up to an odd number.

    Returns:
        Averages, shape (N,); NaN where the whole window has no value.
    """
    data = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    half = window // 2
    means = np.full(len(data), np.nan)
    for i in range(len(data)):
        neighbors = data[max(0, i - half) : i + half + 1]
        neighbors = neighbors[~np.isnan(neighbors)]
        if len(neighbors):
            means[i] = neighbors.mean()
    return means


def _draw_run(axes: Axes, history: LearningHistory, color: str, band_alpha: float) -> None:
    if history.steps:
        smooth = moving_average(history.training_success, window=max(1, len(history.steps) // 25))
        axes.plot(history.steps, 100 * smooth, color=color, **TRAINING_STYLE)
    if history.evaluation_steps:
        counts = list(zip(history.evaluation_successes, history.evaluation_episodes, strict=True))
        rates = [100 * successes / episodes for successes, episodes in counts]
        low, high = 100 * np.array([wilson_interval(successes, episodes) for successes, episodes in counts]).T
        axes.plot(history.evaluation_steps, rates, color=color, **EVALUATION_STYLE)
        axes.fill_between(history.evaluation_steps, low, high, color=color, alpha=band_alpha, linewidth=0)


def _add_legend(axes: Axes, colors: Mapping[str, str], base: bool) -> None:
    """Name the colors of the runs and, once for all runs, the kinds of line."""
    from matplotlib.lines import Line2D

    shared = colors[next(iter(colors))] if len(colors) == 1 else BASE_COLOR
    entries = (
        [] if len(colors) == 1 else [Line2D([], [], color=c, linewidth=4, label=name) for name, c in colors.items()]
    )
    entries.append(Line2D([], [], color=shared, label="evaluation, 95% interval", **EVALUATION_STYLE))
    entries.append(Line2D([], [], color=shared, label="training, smoothed", **TRAINING_STYLE))
    if base:
        entries.append(Line2D([], [], color=BASE_COLOR, label="base policy, 95% interval", **BASE_STYLE))
    axes.legend(handles=entries, loc="lower right", frameon=False, fontsize="small")


def _add_minutes(axes: Axes, history: LearningHistory) -> None:
    """Add an axis on top with the minutes of reinforcement learning, which pass unevenly over the steps."""
    from matplotlib.ticker import MaxNLocator

    if not history.steps:
        return
    minutes, steps = [0.0, *history.minutes], [0, *history.steps]
    ticks = [tick for tick in MaxNLocator(7).tick_values(0, minutes[-1]) if 0 <= tick <= minutes[-1]]
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    top.set_xticks(np.interp(ticks, minutes, steps), [f"{tick:g}" for tick in ticks])
    top.set_xlabel("minutes of reinforcement learning")
    top.spines["right"].set_visible(False)
