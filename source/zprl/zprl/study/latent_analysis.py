# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How far a residual on the latent moves z, its decoded embedding and the actions, and whether it leaves the data.

The paper (arXiv 2605.19919) asks this of lambda: large enough to steer, small enough to stay local.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zprl.policies import FlowPolicy
from zprl.utils.modules import rms

SPACES = ("latent", "features", "actions")
"""Where a residual's effect is measured: z, its decoded embedding, and the normalised actions that are executed."""

RANDOM_MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Multiples of lambda at which residuals that nobody learned, uniform in [-1, 1], serve as a reference."""

Response = dict[str, Tensor]
"""What a policy does at N observations, by the names in :data:`SPACES`: (N, dz), (N, de) and (N, Ta * A)."""


@torch.no_grad()
def respond(policy: FlowPolicy, obs: Tensor, residual: Tensor | None = None) -> Response:
    """Return what a policy does at some observations, through its bottleneck.

    Args:
        policy: The base policy; a flow that starts at sampled noise starts at zero here.
        obs: Raw observations, shape (N, obs_dim).
        residual: What is added to z, shape (N, latent_dim), already scaled; None for the base policy.
    """
    latent, _ = policy.encode(obs)
    latent = latent if residual is None else latent + residual
    features = policy.decode(latent)
    start = policy.fixed_noise if policy.cfg.initial_noise == "fixed" else torch.zeros_like(policy.fixed_noise)
    chunk = policy.integrate(features, start.expand(len(obs), *policy.chunk_shape))
    return {"latent": latent, "features": features, "actions": chunk[:, : policy.cfg.execute_steps].flatten(1)}


def nearest_distances(points: Tensor, reference: Tensor) -> Tensor:
    """Return the Euclidean distances (N,) of points (N, D) to the nearest ones of a reference (M, D)."""
    exactly = "donot_use_mm_for_euclid_dist"  # a matrix product would lose the distances of close points
    parts = [torch.cdist(part, reference, compute_mode=exactly).amin(dim=1) for part in points.split(512)]
    return torch.cat(parts)


def distances_to_other_episodes(points: Tensor, reference: Tensor, episodes: Tensor) -> Tensor:
    """Return the distances (M,) of points to the nearest ones of a reference that belong to another episode.

    Within an episode the next time step would always be the nearest.

    Args:
        points: Point i belongs to the same observation as point i of the reference, shape (M, D).
        reference: Shape (M, D).
        episodes: Number of the episode of each point, shape (M,); at least two differ.
    """
    distances = torch.empty(len(points))
    for episode in episodes.unique():
        ours = episodes == episode
        distances[ours] = nearest_distances(points[ours], reference[~ours])
    return distances


class Demonstrated:
    """What the base policy does at the demonstrations' observations, which others are compared with.

    Args:
        policy: The base policy.
        observations: Observations of each demonstration, shape (T_i, obs_dim) each; at least two demonstrations.
        max_points: Observations that are used, evenly spread over time.
    """

    def __init__(self, policy: FlowPolicy, observations: Sequence[np.ndarray], max_points: int = 3000) -> None:
        stride = max(1, sum(map(len, observations)) // max_points)
        parts = [torch.as_tensor(values[::stride], dtype=torch.float32) for values in observations]
        self.policy = policy
        self.obs = torch.cat(parts)
        self.response = respond(policy, self.obs)
        self.episodes = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(part) for part in parts]))
        self.spread = {space: float(self._own_distances(self.response, space).mean()) for space in SPACES}
        """Mean distance of a demonstrated point to the nearest one of another demonstration."""

    def measure(self, before: Response, after: Response) -> dict[str, dict[str, float]]:
        """Measure what a residual does at some observations: before with the base policy, after with the steered one.

        Returns:
            By the names in :data:`SPACES`, ``change``, the RMS of the difference over the RMS before, and ``distance``,
            the mean distance to the nearest demonstrated point over the demonstrations' own :attr:`spread`: about 1
            among them, larger out of their distribution.
        """
        distances = {space: nearest_distances(after[space], self.response[space]) for space in SPACES}
        return self._relative(before, after, distances)

    def measure_here(self, after: Response) -> dict[str, dict[str, float]]:
        """Measure what a residual does at the demonstrations' own observations; see :meth:`measure`.

        Points of the same demonstration are not counted as near, so no residual has distance 1.
        """
        return self._relative(self.response, after, {space: self._own_distances(after, space) for space in SPACES})

    def _own_distances(self, response: Response, space: str) -> Tensor:
        return distances_to_other_episodes(response[space], self.response[space], self.episodes)

    def _relative(self, before: Response, after: Response, distances: Response) -> dict[str, dict[str, float]]:
        return {
            "change": {space: float(rms(after[space] - before[space]) / rms(before[space])) for space in SPACES},
            "distance": {space: float(distances[space].mean()) / self.spread[space] for space in SPACES},
        }


def random_reference(demonstrated: Demonstrated, residual_scale: float) -> list[dict[str, Any]]:
    """Measure residuals that nobody learned, with lambda for their scale, at the demonstrations' observations.

    Returns:
        What :meth:`Demonstrated.measure_here` returns, with the ``multiple`` of lambda, for 0 and each of
        :data:`RANDOM_MULTIPLES`.
    """
    generator = torch.Generator().manual_seed(0)
    u = 2.0 * torch.rand(demonstrated.response["latent"].shape, generator=generator) - 1.0
    rows = []
    for multiple in (0.0, *RANDOM_MULTIPLES):
        after = respond(demonstrated.policy, demonstrated.obs, multiple * residual_scale * u)
        rows.append({"multiple": multiple, **demonstrated.measure_here(after)})
    return rows


@dataclass(frozen=True)
class Plane:
    """The plane of largest variance through points (principal component analysis)."""

    center: Tensor
    """Mean of the points, shape (D,)."""
    axes: Tensor
    """Orthonormal directions, shape (2, D)."""
    explained: float
    """Share of the points' variance that lies in the plane."""

    def project(self, points: Tensor) -> Tensor:
        """Return coordinates in the plane, shape (N, 2), of points (N, D)."""
        return (points - self.center) @ self.axes.T


def principal_plane(points: Tensor) -> Plane:
    """Return the plane of largest variance through points, shape (N, D) with D >= 2."""
    center = points.mean(dim=0)
    _, singular, directions = torch.linalg.svd((points - center).double(), full_matrices=False)
    variance = singular.square()
    return Plane(center, directions[:2].to(points.dtype), float(variance[:2].sum() / variance.sum()))


def _maps(demonstrated: Demonstrated, before: Response, after: Response) -> dict[str, Any]:
    """Project features and actions, about 400 points of each, to the demonstrations' plane of largest variance."""
    result = {}
    for space in ("features", "actions"):
        plane = principal_plane(demonstrated.response[space])
        kinds = {"demonstrations": demonstrated.response[space], "before": before[space], "after": after[space]}
        points = {
            name: plane.project(values[:: max(1, len(values) // 400)]).round(decimals=4).tolist()
            for name, values in kinds.items()
        }
        result[space] = {"explained": plane.explained, **points}
    return result


def analyse(
    demonstrated: Demonstrated,
    learned: Callable[[Tensor], Tensor],
    residual_scale: float,
    visited: Tensor,
) -> dict[str, Any]:
    """Analyse a steered policy.

    Args:
        demonstrated: The demonstrations of its base policy.
        learned: Maps raw observations (N, obs_dim) to the learner's outputs u in [-1, 1], shape (N, latent_dim).
        residual_scale: Lambda.
        visited: Observations at which the steered policy planned, shape (N, obs_dim).

    Returns:
        Plain values for JSON: ``random``, see :func:`random_reference`; ``steered`` at the demonstrations'
        observations, ``steered_visited`` and ``base_visited`` at the visited ones, see :meth:`Demonstrated.measure`;
        ``maps`` of ``features`` and ``actions``: coordinates of ``demonstrations``, ``before`` and ``after`` in the
        plane of the demonstrations' largest variance, and the share of variance that it has ``explained``.
    """
    policy = demonstrated.policy
    at_demonstrations = respond(policy, demonstrated.obs, residual_scale * learned(demonstrated.obs))
    before = respond(policy, visited)
    after = respond(policy, visited, residual_scale * learned(visited))
    return {
        "residual_scale": residual_scale,
        "latent_rms": float(rms(demonstrated.response["latent"])),
        "random": random_reference(demonstrated, residual_scale),
        "steered": demonstrated.measure_here(at_demonstrations),
        "steered_visited": demonstrated.measure(before, after),
        "base_visited": demonstrated.measure(before, before),
        "maps": _maps(demonstrated, before, after),
    }
