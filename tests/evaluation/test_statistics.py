# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import json
import math

import numpy as np
import pytest

from zprl.evaluation.statistics import (
    mcnemar_p_value,
    paired_comparison,
    policy_summary,
    smoothness,
    success_rate,
    wilson_interval,
)


class TestWilsonInterval:
    def test_by_hand(self):
        """With z = 2, 8 of 16: center 1/2, half width (2 / 1.25) * sqrt(1/64 + 1/256) = 1.6 * sqrt(5) / 16."""
        half = 1.6 * math.sqrt(5) / 16
        assert wilson_interval(8, 16, z=2.0) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-15)

    @pytest.mark.parametrize(
        ("successes", "episodes", "low", "high"),
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998,
        # table I, method 3.
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
    )
    def test_published(self, successes, episodes, low, high):
        assert wilson_interval(successes, episodes) == pytest.approx((low, high), abs=5e-5)

    def test_ends(self):
        assert wilson_interval(0, 10)[0] == 0.0
        assert wilson_interval(10, 10)[1] == 1.0
        assert wilson_interval(0, 0) == (0.0, 1.0)

    @pytest.mark.parametrize("counts", [(-1, 3), (4, 3)])
    def test_impossible_counts(self, counts):
        with pytest.raises(ValueError, match="successes must be in"):
            wilson_interval(*counts)

    def test_covers_the_truth_about_as_often_as_it_says(self):
        generator = np.random.default_rng(0)
        for probability in (0.1, 0.5, 0.9):
            intervals = [wilson_interval(int(n), 50) for n in generator.binomial(50, probability, 4000)]
            coverage = np.mean([low <= probability <= high for low, high in intervals])
            assert 0.93 < coverage < 0.975


def test_success_rate():
    rate = success_rate([True, False, True, True])
    assert (rate.successes, rate.episodes, rate.rate) == (3, 4, 0.75)
    assert (rate.low, rate.high) == wilson_interval(3, 4)
    with pytest.raises(ValueError, match="N >= 1"):
        success_rate([])


class TestPairedComparison:
    def test_mcnemar_by_hand(self):
        assert mcnemar_p_value(0, 5) == 2 / 32
        assert mcnemar_p_value(1, 5) == 2 * (1 + 6) / 64
        assert mcnemar_p_value(3, 3) == 1.0
        assert mcnemar_p_value(0, 0) == 1.0
        assert mcnemar_p_value(800, 700) == pytest.approx(mcnemar_p_value(700, 800))

    def test_counts_difference_and_direction(self):
        base = [True, True, False, False, False, False, False, True]
        steered = [True, False, True, True, True, False, True, True]
        comparison = paired_comparison(base, steered)
        assert (comparison.episodes, comparison.only_base, comparison.only_steered) == (8, 1, 4)
        assert comparison.difference == pytest.approx(3 / 8)
        assert comparison.low < comparison.difference < comparison.high
        assert comparison.p_value == 2 * (1 + 5) / 32
        swapped = paired_comparison(steered, base)
        assert (swapped.low, swapped.high) == pytest.approx((-comparison.high, -comparison.low))

    def test_interval_by_hand_without_correlation(self):
        """Of 4 pairs one of each kind: the correlation is 0, so the two Wilson half widths add as squares."""
        comparison = paired_comparison([True, True, False, False], [True, False, True, False])
        low, high = wilson_interval(2, 4)
        half = math.hypot(0.5 - low, high - 0.5)
        assert (comparison.difference, comparison.low, comparison.high) == pytest.approx((0.0, -half, half))

    def test_interval_by_hand_with_correlation(self):
        """40 both, 10 only steered, 0 only base, 50 neither; p = 0.5 and 0.4.

        The correlation with continuity correction is (40 * 50 - 0 - 100 / 2) / sqrt(50 * 50 * 40 * 60).
        """
        base = [True] * 40 + [False] * 60
        steered = [True] * 50 + [False] * 50
        low_s, high_s = wilson_interval(50, 100)
        low_b, high_b = wilson_interval(40, 100)
        phi = 1950 / math.sqrt(50 * 50 * 40 * 60)
        down = math.sqrt((0.5 - low_s) ** 2 - 2 * phi * (0.5 - low_s) * (high_b - 0.4) + (high_b - 0.4) ** 2)
        up = math.sqrt((high_s - 0.5) ** 2 - 2 * phi * (high_s - 0.5) * (0.4 - low_b) + (0.4 - low_b) ** 2)
        comparison = paired_comparison(base, steered)
        assert (comparison.low, comparison.high) == pytest.approx((0.1 - down, 0.1 + up))
        assert comparison.low > 0.0  # while the two separate intervals overlap widely
        assert low_s < high_b

    def test_same_outcomes(self):
        comparison = paired_comparison([True] * 30, [True] * 30)
        assert comparison.difference == 0.0
        assert comparison.low < 0.0 < comparison.high
        assert comparison.p_value == 1.0

    def test_covers_the_truth_about_as_often_as_it_says(self):
        """The steered policy repairs 30% of the failures of the base policy and breaks 5% of its successes."""
        generator = np.random.default_rng(0)
        base = generator.random((2000, 100)) < 0.6
        draw = generator.random((2000, 100))
        steered = np.where(base, draw > 0.05, draw < 0.3)
        truth = 0.6 * 0.95 + 0.4 * 0.3 - 0.6
        comparisons = [paired_comparison(b, s) for b, s in zip(base, steered, strict=True)]
        coverage = np.mean([c.low <= truth <= c.high for c in comparisons])
        assert 0.93 < coverage < 0.985

    def test_different_lengths(self):
        with pytest.raises(ValueError, match="equal lengths, got 1 and 2"):
            paired_comparison([True], [True, False])


class TestSmoothness:
    def test_constant_acceleration_by_hand(self):
        """x = t^2 at t = 0, 1, 2, 3 s: differences 1, 3, 5, second differences 2, third 0."""
        x = np.array([0.0, 1.0, 4.0, 9.0])
        measured = smoothness([np.stack([x, 0 * x, 0 * x], axis=1)], dt=1.0, successes=[True])
        assert (measured.velocity, measured.acceleration, measured.jerk) == pytest.approx((3.0, 2.0, 0.0))

    def test_units_and_norm(self):
        """A step of (3, 4, 0) mm in 10 ms is 0.5 m/s; back again is twice that in 10 ms, 100 m/s^2, and so on."""
        zigzag = [[0, 0, 0], [0.003, 0.004, 0], [0, 0, 0], [0.003, 0.004, 0]]
        measured = smoothness([zigzag], dt=0.01, successes=[True])
        assert (measured.velocity, measured.acceleration, measured.jerk) == pytest.approx((0.5, 100.0, 20000.0))

    def test_failures_do_not_count_and_samples_are_pooled(self):
        """Speeds 1, 1, 1 and 5 average to 2: a mean of the means of the trajectories would be 3."""
        slow = [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]
        fast = [[0, 0, 0], [5, 0, 0]]
        wild = [[0, 0, 0], [100, 0, 0], [-100, 0, 0]]
        measured = smoothness([slow, wild, fast], dt=1.0, successes=[True, False, True])
        assert (measured.velocity, measured.acceleration, measured.jerk) == (2.0, 0.0, 0.0)
        assert measured.trajectories == 2

    def test_no_success_is_none(self):
        measured = smoothness([np.zeros((9, 3))], dt=0.1, successes=[False])
        assert (measured.velocity, measured.acceleration, measured.jerk) == (None, None, None)

    def test_short_trajectories_have_no_jerk(self):
        measured = smoothness([np.zeros((3, 3)), np.zeros((1, 3))], dt=0.1, successes=[True, True])
        assert (measured.velocity, measured.acceleration, measured.jerk) == (0.0, 0.0, None)

    def test_the_arms_of_a_robot_count_alike(self):
        """One end effector rests and the other one moves by 1, 2 and 3 m in steps of 1 s."""
        rest, moves = np.zeros((4, 3)), np.array([[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [6, 0, 0]])
        measured = smoothness([np.stack([rest, moves], axis=1)], dt=1.0, successes=[True])
        assert (measured.velocity, measured.acceleration, measured.jerk) == pytest.approx((1.0, 0.5, 0.0))

    def test_without_trajectories_nothing_is_known(self):
        measured = smoothness([], dt=0.1, successes=[True, False])
        assert (measured.velocity, measured.acceleration, measured.jerk, measured.trajectories) == (None, None, None, 0)

    def test_joints_count_by_their_root_mean_square(self):
        """Of four joints one goes 0, 1, 0, 1 rad, in steps of 0.1 s: its jerk is 4 rad per step cubed."""
        moves = np.zeros((4, 4))
        moves[1::2, 2] = 1.0
        measured = smoothness([], 0.1, [False, True], [moves + 7.0 * np.arange(4)[:, None] ** 3, moves])
        assert measured.joint_jerk == pytest.approx(4.0 / 0.1**3 / 2.0)
        assert measured.jerk is None

    def test_wrong_arguments(self):
        with pytest.raises(ValueError, match=r"joints must have shape \(T, J\), got \(3,\)"):
            smoothness([], 0.1, [True], [np.zeros(3)])
        with pytest.raises(ValueError, match="1 trajectories but 2 outcomes"):
            smoothness([np.zeros((3, 3))], 0.1, [True, True])
        with pytest.raises(ValueError, match="dt must be positive"):
            smoothness([], 0.0, [])
        with pytest.raises(ValueError, match=r"shape \(T, 3\) or \(T, P, 3\), got \(3, 2\)"):
            smoothness([np.zeros((3, 2))], 0.1, [True])


class TestPolicySummary:
    def test_values(self):
        line = [[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]]
        summary = policy_summary([True, False, True], [10, 99, 20], [line, line, line], dt=0.1)
        assert summary["rate"] == pytest.approx(2 / 3)
        assert summary["mean_steps"] == 15.0
        assert summary["velocity"] == pytest.approx(1.0)

    def test_without_success_is_valid_json(self):
        summary = policy_summary([False], [99], [np.zeros((9, 3))], dt=0.1)
        assert json.loads(json.dumps(summary, allow_nan=False))["mean_steps"] is None

    def test_different_lengths(self):
        with pytest.raises(ValueError, match="2 outcomes but steps of shape"):
            policy_summary([True, False], [10], [], dt=0.1)
