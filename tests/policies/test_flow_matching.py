# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Flow matching against closed forms."""

import itertools
import math

import pytest
import torch

from zprl.policies.flow import flow_matching
from zprl.policies.flow.flow_matching import SOLVERS, evaluation_times, integrate, interpolate, time_features


def test_interpolation_ends_at_data_and_noise_and_its_velocity_is_its_derivative():
    generator = torch.Generator().manual_seed(0)
    chunk = torch.randn(3, 4, 2, generator=generator, dtype=torch.float64)
    noise = torch.randn(3, 4, 2, generator=generator, dtype=torch.float64)
    at_data, velocity = interpolate(chunk, noise, torch.zeros(3, dtype=torch.float64))
    at_noise, _ = interpolate(chunk, noise, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(at_data, chunk)
    torch.testing.assert_close(at_noise, noise)
    t = torch.tensor([0.1, 0.5, 0.7], dtype=torch.float64)
    difference = (interpolate(chunk, noise, t + 1e-3)[0] - interpolate(chunk, noise, t - 1e-3)[0]) / 2e-3
    torch.testing.assert_close(difference, velocity)


@pytest.mark.parametrize("name", SOLVERS)
def test_one_step_reaches_the_data_of_a_straight_path(name):
    # The velocity of a rectified flow is constant along its path, so that every solver is exact in one step.
    chunk, noise = torch.tensor([[[2.0, -1.0]]]), torch.tensor([[[0.5, 3.0]]])
    torch.testing.assert_close(integrate(lambda x, row: noise - chunk, noise, SOLVERS[name], 1), chunk)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_order_of_convergence(name, order):
    # dx/dt = A(t) x with A(t) = t^2 R, R a rotation: time-dependent, so that a wrong evaluation time lowers the order.
    rotation = torch.tensor([[0.3, -2.0], [2.0, 0.3]], dtype=torch.float64)
    start = torch.tensor([1.0, -0.5], dtype=torch.float64)
    exact = torch.linalg.matrix_exp(-rotation / 3.0) @ start  # from t = 1 to t = 0
    errors = []
    for steps in (16, 32):
        times = evaluation_times(SOLVERS[name], steps)
        velocity = lambda x, row, times=times: times[row] ** 2 * rotation @ x  # noqa: E731
        errors.append((integrate(velocity, start, SOLVERS[name], steps) - exact).norm().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("name", "rows"), [("euler", 5), ("midpoint", 10), ("heun", 6), ("rk4", 11)])
def test_evaluation_times_are_distinct_and_all_used(name, rows):
    times = evaluation_times(SOLVERS[name], 5)
    assert len(times) == rows
    assert times[0] == 1.0
    assert all(after < before for before, after in itertools.pairwise(times))
    used = set()
    integrate(lambda x, row: used.add(row) or x, torch.zeros(1), SOLVERS[name], 5)
    assert used == set(range(rows))


def test_time_features_tell_times_apart():
    times = torch.linspace(0.0, 1.0, 101)
    features = time_features(times, 64)
    assert features.shape == (101, 64)
    distances = torch.cdist(features, features) + 100.0 * torch.eye(101)
    assert distances.min() > 0.5


def test_solver_tables_agree_with_the_configuration():
    from zprl.policies.flow.cfg import SOLVER_NAMES

    assert tuple(flow_matching.SOLVERS) == SOLVER_NAMES
    for solver in SOLVERS.values():
        assert sum(solver.weights) == pytest.approx(1.0)
