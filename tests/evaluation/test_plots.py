# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.image
import numpy as np
import pytest

from zprl.evaluation.plots import LearningHistory, moving_average, plot_learning_curves
from zprl.evaluation.statistics import success_rate


def make_history(seed: int, iterations: int = 300) -> LearningHistory:
    generator = np.random.default_rng(seed)
    success = np.clip(0.5 + 0.4 * np.arange(iterations) / iterations + 0.1 * generator.normal(size=iterations), 0, 1)
    evaluations = range(0, iterations, 50)
    return LearningHistory(
        steps=[1536 * (i + 1) for i in range(iterations)],
        minutes=[0.05 * (i + 1) ** 1.1 for i in range(iterations)],
        training_success=[None, *success.tolist()[1:]],
        evaluation_steps=[1536 * (i + 1) for i in evaluations],
        evaluation_successes=[int(100 * success[i]) for i in evaluations],
        evaluation_episodes=[100 for _ in evaluations],
    )


def test_one_run_is_a_small_readable_png(tmp_path):
    path = tmp_path / "curve.png"
    base = success_rate([True] * 54 + [False] * 46)
    plot_learning_curves(path, {"steered": make_history(0)}, base, "Zprl-Lift-Franka")
    assert path.stat().st_size < 100_000
    image = matplotlib.image.imread(path)
    assert image.shape[0] >= 400
    assert image.shape[1] >= 700
    assert [entry.name for entry in tmp_path.iterdir()] == ["curve.png"]


def test_many_seeds_fit_into_one_small_png(tmp_path):
    path = tmp_path / "curves.png"
    plot_learning_curves(path, {f"seed {seed}": make_history(seed) for seed in range(5)}, success_rate([True, False]))
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize(
    "history",
    [
        LearningHistory(),
        LearningHistory(steps=[10], minutes=[0.1], training_success=[None]),
        LearningHistory(steps=[10], minutes=[0.0], training_success=[1.0]),
        LearningHistory(evaluation_steps=[0], evaluation_successes=[0], evaluation_episodes=[1]),
    ],
)
def test_runs_that_have_hardly_begun_can_be_drawn(tmp_path, history):
    plot_learning_curves(tmp_path / "curve.png", {"steered": history}, base=None)
    assert (tmp_path / "curve.png").stat().st_size > 0


def test_failing_drawing_keeps_the_old_file(tmp_path):
    path = tmp_path / "curve.png"
    plot_learning_curves(path, {"steered": make_history(0)}, None)
    before = path.read_bytes()
    broken = LearningHistory(evaluation_steps=[1, 2], evaluation_successes=[1], evaluation_episodes=[1])
    with pytest.raises(ValueError, match="same first dimension"):
        plot_learning_curves(path, {"steered": broken}, None)
    assert path.read_bytes() == before


def test_moving_average_by_hand():
    averages = moving_average([1.0, None, 3.0, 8.0, float("nan")], window=3)
    np.testing.assert_allclose(averages, [1.0, 2.0, 5.5, 5.5, 8.0])
    np.testing.assert_allclose(moving_average([1.0, None, 4.0], window=1), [1.0, np.nan, 4.0])
