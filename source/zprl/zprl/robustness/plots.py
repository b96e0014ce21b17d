# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Bar chart of success under disturbances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zprl.evaluation.plots import BASE_COLOR, COLORS, new_figure, save_figure

if TYPE_CHECKING:
    from _typeshed import StrPath


def plot_robustness(path: StrPath, rows: Sequence[dict[str, Any]], title: str) -> None:
    """Draw a pair of bars with 95% intervals for each disturbance.

    Args:
        path: PNG file to create or to replace.
        rows: What :func:`zprl.commands.sim2real.run_disturbances` returns.
        title: Title of the figure.

    Raises:
        OSError: If the file cannot be written; see :func:`zprl.utils.files.atomic_write`.
    """
    figure = new_figure(7.2, 1.2 + 0.36 * len(rows))
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    for name, color, offset in (("base", BASE_COLOR, -0.2), ("steered", COLORS[0], 0.2)):
        shown = [(place, row[name]) for place, row in zip(places, rows, strict=True) if row[name] is not None]
        if not shown:
            continue
        rates = np.array([100 * policy["rate"] for _, policy in shown])
        low, high = np.array([[100 * policy["low"], 100 * policy["high"]] for _, policy in shown]).T
        axes.barh(
            [place + offset for place, _ in shown],
            rates,
            height=0.38,
            color=color,
            xerr=[rates - low, high - rates],
            error_kw={"elinewidth": 1.0, "capsize": 2.0, "ecolor": "#222222"},
            label=name,
        )
    axes.set_yticks(places, [row["name"].replace("_", " ").replace("=", " ") for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("success [%], 95% interval")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize="medium")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False, fontsize="small")
    save_figure(figure, path)
