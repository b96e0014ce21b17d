# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The comparison of renderers says what was measured; tests/sim/render/test_newton_model.py draws with both."""

from types import SimpleNamespace

import numpy as np
import pytest

from zprl.profiling.render import Agreement, RenderReport, RenderTimes, compare, render_table
from zprl.profiling.timing import Timing


def test_table_shows_images_per_second_and_ratios_to_newton():
    wall = {"newton": [0.5, 0.1, 0.2], "native, 1 thread": [0.01, 0.02, 0.03]}
    cpu = {"newton": [0.064, 0.128, 0.256], "native, 1 thread": [0.0064]}
    times = [{name: Timing.of(seconds) for name, seconds in each.items()} for each in (wall, cpu)]
    text = render_table(RenderReport(32, [RenderTimes(64, 84, *times)], Agreement(2.5e-5, 0.125, 0.25)))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["64", "84 x 84", "newton", "320", "1.0", "2,000.0", "1.0"] in rows
    assert ["64", "84 x 84", "native, 1 thread", "3,200", "10.0", "100.0", "20.0"] in rows
    assert "0.025 mm" in text and "12.5% of pixels" in text and "0.25 of 255" in text


def test_silhouettes_are_left_out_of_the_depth():
    """A square of 3 x 3 in 5 x 5 has one pixel inside of it, and all others touch its edge."""
    ids = np.full((1, 5, 5), -1)
    ids[:, 1:4, 1:4] = 0
    ours, theirs = np.zeros((1, 5, 5), np.float32), np.ones((1, 5, 5), np.float32)
    theirs[:, 2, 2] = 0.25
    rgb = np.zeros((1, 5, 5, 3), np.uint8)
    newton = SimpleNamespace(depth=theirs, rgb=rgb + np.uint8(2))
    agreement = compare(newton, {"segmentation": ids, "depth": ours, "rgb": rgb + np.uint8(5)})  # pyright: ignore
    assert (agreement.inside, agreement.color) == (0.25, 3.0)
    assert agreement.silhouettes == pytest.approx(24 / 25)
