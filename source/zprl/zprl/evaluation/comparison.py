# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Base against steered policy on the same initial states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict
from torch import Tensor

from zprl.evaluation.rollout import ChunkPlanner, EpisodeResults, Evaluator
from zprl.evaluation.statistics import paired_comparison

if TYPE_CHECKING:
    from zprl.policies import FlowPolicy
    from zprl.steering import Steering


def base_planner(steering: Steering) -> ChunkPlanner:
    """Return the frozen base policy as the steering leaves it without an output."""
    return _independent_rows(steering, lambda obs, noise: steering.plan(obs, None, noise))


def steered_planner(steering: Steering, actor: Callable[[TensorDict], Tensor]) -> ChunkPlanner:
    """Return the steered policy, deterministic.

    Args:
        steering: The steering interface.
        actor: Maps the learner's observations to its output u.
    """

    def plan(obs: Tensor, noise: Tensor | None) -> Tensor:
        features = steering.features(obs, noise)
        seen = TensorDict({"policy": obs, **features}, batch_size=[obs.shape[0]], device=obs.device)
        return steering.plan(obs, actor(seen), noise)

    if steering.closed_loop:
        return ClosedLoopPlanner(plan, steering.begin_episodes)
    return _independent_rows(steering, plan)


class ClosedLoopPlanner:
    """A planner that is asked for every action; see :data:`zprl.evaluation.rollout.ChunkPlanner`.

    Args:
        plan: Maps observations and noise to plans of one action.
        begin_episodes: Called when all worlds begin an episode.
    """

    execute_steps = 1

    def __init__(self, plan: ChunkPlanner, begin_episodes: Callable[[], None]) -> None:
        self.plan = plan
        self.begin_episodes = begin_episodes

    def __call__(self, obs: Tensor, noise: Tensor | None) -> Tensor:
        """Return plans of one action, shape (N, 1, A)."""
        return self.plan(obs, noise)


def _independent_rows(steering: Steering, plan: ChunkPlanner) -> ChunkPlanner:
    """Let a planner work row by row on the CPU, if its steering needs it; see :func:`zprl.rl.actor.row_by_row`."""
    return plan if steering.rows_are_independent else one_by_one(plan)


def one_by_one(plan: ChunkPlanner) -> ChunkPlanner:
    """Let a planner work row by row on the CPU; see :func:`zprl.rl.actor.row_by_row`."""

    def plan_rows(obs: Tensor, noise: Tensor | None) -> Tensor:
        if obs.device.type != "cpu":
            return plan(obs, noise)
        rows = range(obs.shape[0])
        return torch.cat([plan(obs[i : i + 1], None if noise is None else noise[i : i + 1]) for i in rows])

    return plan_rows


def plain_planner(policy: FlowPolicy) -> ChunkPlanner:
    """Return the base policy without its bottleneck."""
    return one_by_one(policy.act_plain)


def noise_shape(policy: FlowPolicy) -> tuple[int, int] | None:
    """Return the shape of the initial noise that an evaluation draws per episode, or None if the setting draws none."""
    return policy.chunk_shape if policy.cfg.initial_noise == "sampled" else None


def bottleneck_gap(
    evaluator: Evaluator, steering: Steering, policy: FlowPolicy, episodes: int, seed: int
) -> dict[str, Any]:
    """Measure what the bottleneck costs the base policy.

    Args:
        evaluator: The evaluator.
        steering: The steering interface around the policy.
        policy: The base policy.
        episodes: Number of episodes.
        seed: Seed of the initial states.

    Returns:
        ``plain`` and ``bottleneck`` summaries and the ``gap`` between their success rates, plain minus bottleneck, with
        the ends ``gap_low`` and ``gap_high`` of its 95 % interval.
    """
    shape = noise_shape(policy)
    bottleneck = evaluator.run(base_planner(steering), episodes, seed, shape)
    plain = evaluator.run(plain_planner(policy), episodes, seed, shape)
    summaries = {"plain": plain.summary(), "bottleneck": bottleneck.summary()}
    gap = paired_comparison(bottleneck.successes, plain.successes)
    return {**summaries, "gap": gap.difference, "gap_low": gap.low, "gap_high": gap.high}


def compare(base: EpisodeResults, steered: EpisodeResults) -> dict[str, Any]:
    """Return both summaries and their paired comparison, as the result table takes them."""
    return {
        "base": base.summary(),
        "steered": steered.summary(),
        "comparison": asdict(paired_comparison(base.successes, steered.successes)),
    }
