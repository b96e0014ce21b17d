# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Learning curves: what a run records of its learning, and figures of it as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from zprl.evaluation.statistics import SuccessRate, wilson_interval
from zprl.utils.files import atomic_write
from zprl.utils.strict_json import NUMBER, require_form

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


@dataclass
class LearningHistory:
    """What a run of reinforcement learning records. ``dataclasses.asdict`` makes it JSON, :meth:`of` reads it back."""

    steps: list[int] = field(default_factory=list)
    """Environment steps taken until each iteration, over all environments; increasing."""
    minutes: list[float] = field(default_factory=list)
    """Duration of the reinforcement learning until each iteration [min]; increasing."""
    training_success: list[float | None] = field(default_factory=list)
    """Share of successful episodes among those finished in each iteration; None where none finished."""
    evaluation_steps: list[int] = field(default_factory=list)
    """Environment steps at which the policy was evaluated."""
    evaluation_successes: list[int] = field(default_factory=list)
    """Number of successful episodes of each evaluation."""
    evaluation_episodes: list[int] = field(default_factory=list)
    """Number of episodes of each evaluation."""
    evaluation_minutes: list[float] = field(default_factory=list)
    """Duration of the reinforcement learning until each evaluation, evaluations left out [min]; empty in old files."""

    @classmethod
    def of(cls, values: Any) -> LearningHistory:
        """Return the history that JSON holds; it takes over the lists.

        Raises:
            ValueError: If it holds anything else, or lists that do not fit together.
        """
        require_form(values, {}, "history")
        if unknown := sorted(values.keys() - _HISTORY.keys()):
            raise ValueError(f"history holds the unknown {', '.join(unknown)[:100]}")
        require_form(values, {name: form for name, form in _HISTORY.items() if name in values}, "history")
        history = cls(**values)
        evaluations = history.evaluation_steps, history.evaluation_successes, history.evaluation_episodes
        history.training_success = history.training_success or [None] * len(history.steps)
        iterations = history.steps, history.minutes, history.training_success
        if any(len(set(map(len, lists))) > 1 for lists in (evaluations, iterations)):
            raise ValueError("history holds lists of different lengths")
        if min(history.evaluation_episodes, default=1) < 1:
            raise ValueError("history holds an evaluation without episodes")
        return history


_HISTORY = {
    **{name: [int] for name in ("steps", "evaluation_steps", "evaluation_successes", "evaluation_episodes")},
    **{name: [NUMBER] for name in ("minutes", "evaluation_minutes")},
    "training_success": [NUMBER | None],
}
"""Form of a history in JSON."""


def plot_learning_curves(
    path: StrPath, histories: Mapping[str, LearningHistory], base: SuccessRate | None, title: str = ""
) -> None:
    """Draw the learning curves of one or several runs into one figure, such as one for each seed.

    A thin line shows the smoothed success during training, where actions are sampled. Points show evaluations, where
    they are not, with a band for the 95% interval.

    Args:
        path: PNG file to create or to replace.
        histories: What each run recorded, by the name for the legend, which shows those of several; at least one.
        base: Success rate of the frozen policy, drawn as a dashed line with its interval.
        title: Title of the figure, such as the task.

    Raises:
        OSError: If the file cannot be written; see :func:`zprl.utils.files.atomic_write`.
    """
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
    label_success_over_steps(axes)
    style_axes(axes, title, open_sides=("right",))
    _add_minutes(axes, max(histories.values(), key=lambda h: h.steps[-1] if h.steps else 0))
    _add_legend(axes, colors, base is not None)
    save_figure(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size [inch], made without pyplot, which would open windows and keep every figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, title: str = "", open_sides: Sequence[str] = ("top", "right")) -> None:
    """Give axes the grid, the open sides and the title that all figures have."""
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.spines[list(open_sides)].set_visible(False)
    axes.set_title(title, loc="left", fontsize="medium")


def label_success_over_steps(axes: Axes) -> None:
    """Name the axes of a learning curve."""
    from matplotlib.ticker import EngFormatter

    axes.set_xlabel("environment steps")
    axes.set_ylabel("success [%]")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def save_figure(figure: Figure, path: StrPath) -> None:
    """Write a figure that :func:`new_figure` made as a PNG; see :func:`zprl.utils.files.atomic_write`."""
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
    data, half = np.array(values, dtype=np.float64), window // 2  # None becomes NaN
    windows = [data[max(0, i - half) : i + half + 1] for i in range(len(data))]
    present = [neighbors[~np.isnan(neighbors)] for neighbors in windows]
    return np.array([neighbors.mean() if len(neighbors) else np.nan for neighbors in present])


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

    several = len(colors) > 1
    shared = BASE_COLOR if several else next(iter(colors.values()))
    entries = [Line2D([], [], color=c, linewidth=4, label=name) for name, c in colors.items() if several]
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
