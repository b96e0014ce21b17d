# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Base against steered policy on the same initial states."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from zprl.evaluation.rollout import EpisodeResults, Evaluator
from zprl.evaluation.statistics import paired_comparison
from zprl.policies.base import BasePolicy
from zprl.steering import ChunkPolicy, plain_chunks


def noise_shape(base: BasePolicy) -> tuple[int, int] | None:
    """Return the shape of the initial noise that an evaluation draws per episode, or None if the setting draws none."""
    return base.chunk_shape if base.samples_noise else None


def bottleneck_gap(evaluator: Evaluator, base: BasePolicy, episodes: int, seed: int) -> dict[str, Any]:
    """Measure what the bottleneck costs a base policy.

    Args:
        evaluator: The evaluator.
        base: The base policy.
        episodes: Number of episodes.
        seed: Seed of the initial states.

    Returns:
        ``plain`` and ``bottleneck`` summaries and the ``gap`` between their success rates, plain minus bottleneck, with
        the ends ``gap_low`` and ``gap_high`` of its 95 % interval.
    """
    shape = noise_shape(base)
    bottleneck = evaluator.run(ChunkPolicy(base, base.act, base.mixes_rows("latent")), episodes, seed, shape)
    plain = evaluator.run(plain_chunks(base), episodes, seed, shape)
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
