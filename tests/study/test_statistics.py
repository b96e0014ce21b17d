# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import math

import pytest

from zprl.study.results import area_under_curve, mean_interval, steps_to_reach


def test_interval_of_three_seeds_by_hand():
    """Mean 0.9, standard deviation 0.1, standard error 0.1 / sqrt(3), 2 degrees of freedom."""
    estimate = mean_interval([0.8, 0.9, 1.0])
    half = 4.30265273 * 0.1 / math.sqrt(3)
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((0.9, 0.9 - half, 0.9 + half))
    assert estimate.count == 3
    assert mean_interval([0.8, 0.9, 1.0], (0.0, 1.0)).high == 1.0


def test_one_seed_has_no_interval():
    estimate = mean_interval([0.5])
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, None, None)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


def test_a_level_is_reached_at_an_evaluation():
    steps, rates = [100, 200, 300], [0.5, 0.9, 0.7]
    assert steps_to_reach(steps, rates, 0.8) == 200
    assert steps_to_reach(steps, rates, 0.9) == 200
    assert steps_to_reach(steps, rates, 0.95) is None


def test_area_by_hand():
    """From 0.5 to 0.9 over 100 steps and to 0.7 over 200 more: (70 + 160) / 300."""
    assert area_under_curve([100, 300], [0.9, 0.7], 0.5) == pytest.approx(230 / 300)
