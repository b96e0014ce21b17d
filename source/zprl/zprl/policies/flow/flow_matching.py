# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Rectified flow (arXiv 2209.03003) on action chunks: training target, time features and ODE solvers.

The flow time t runs from 0 (data a) to 1 (noise eps). Training regresses the velocity of the straight line between
them, x_t = (1 - t) a + t eps; acting integrates the learned velocity from t = 1 down to t = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Solver:
    """Explicit Runge-Kutta method whose every stage uses only the stage before it.

    With the step h and k_0 = 0, stage i evaluates ``k_i = v(x - h c_i k_{i-1}, t - h c_i)``, and the step ends at
    ``x - h sum_i b_i k_i``. This covers all the methods below and keeps one stage in memory.
    """

    nodes: tuple[float, ...]
    """Position c_i of each stage in the step, in [0, 1]."""

    weights: tuple[float, ...]
    """Weight b_i of each stage."""


SOLVERS: dict[str, Solver] = {
    "euler": Solver(nodes=(0.0,), weights=(1.0,)),
    "midpoint": Solver(nodes=(0.0, 0.5), weights=(0.0, 1.0)),
    "heun": Solver(nodes=(0.0, 1.0), weights=(0.5, 0.5)),
    "rk4": Solver(nodes=(0.0, 0.5, 0.5, 1.0), weights=(1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}
"""Solvers by name. Their orders of convergence are 1, 2, 2 and 4."""


def rows_per_step(solver: Solver) -> int:
    """Number of points of :func:`evaluation_times` from one step to the next: 2 if a stage sits at mid-step."""
    return 2 if 0.5 in solver.nodes else 1


def evaluation_times(solver: Solver, num_steps: int) -> list[float]:
    """Distinct flow times at which K solver steps evaluate the velocity, from t = 1 downwards.

    Stage i of step k evaluates entry ``rows_per_step * (k + c_i)``. Steps share the entry at their common end, so there
    are K (Euler), 2K (midpoint), K + 1 (Heun) or 2K + 1 (RK4) entries.
    """
    last = rows_per_step(solver) * (num_steps - 1 + max(solver.nodes))
    return [1.0 - row / (rows_per_step(solver) * num_steps) for row in range(int(last) + 1)]


def integrate(velocity: Callable[[Tensor, int], Tensor], noise: Tensor, solver: Solver, num_steps: int) -> Tensor:
    """Integrate dx/dt = v(x, t) from t = 1 to t = 0 in equal steps.

    Args:
        velocity: Velocity of a state at an entry of :func:`evaluation_times`.
        noise: State at t = 1, of any shape.
        solver: Method.
        num_steps: Number of steps K.

    Returns:
        State at t = 0, of the same shape.
    """
    rows, step = rows_per_step(solver), 1.0 / num_steps
    x = noise
    for k in range(num_steps):
        slope, end = None, x
        for node, weight in zip(solver.nodes, solver.weights, strict=True):
            stage = x if slope is None else x - step * node * slope
            slope = velocity(stage, int(rows * (k + node)))
            if weight != 0.0:
                end = end - step * weight * slope
        x = end
    return x


def interpolate(chunk: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Point and velocity of the straight path from data to noise (arXiv 2209.03003, Eq. 1, with time reversed).

    Args:
        chunk: Data a (N, H, A).
        noise: Noise eps (N, H, A).
        t: Flow time (N,).

    Returns:
        The point x_t = (1 - t) a + t eps and its velocity eps - a, (N, H, A) each.
    """
    t = t.view(-1, *[1] * (chunk.ndim - 1))
    return torch.lerp(chunk, noise, t), noise - chunk


def time_features(t: Tensor, dim: int, min_period: float = 2.0e-2, max_period: float = 4.0) -> Tensor:
    """Sinusoidal features of the flow time, with periods in geometric progression.

    The longest period exceeds the unit interval, so that no two times look alike. The shortest is about a solver step;
    finer ones would only magnify the rounding of t.

    Args:
        t: Flow time (N,).
        dim: Number of features, even.
        min_period: Shortest period, in units of flow time.
        max_period: Longest period, in units of flow time.

    Returns:
        Cosines and sines (N, dim).
    """
    exponents = torch.linspace(0.0, 1.0, dim // 2, device=t.device, dtype=t.dtype)
    angles = t[:, None] * (2.0 * math.pi / max_period) * (max_period / min_period) ** exponents
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)
