# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a run records of its learning."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class LearningHistory:
    """What one run of reinforcement learning records. ``dataclasses.asdict`` makes it JSON, ``**`` reads it back."""

    steps: list[int] = field(default_factory=list)
    """Environment steps taken until each iteration, over all environments; increasing."""
    minutes: list[float] = field(default_factory=list)
    """Duration of the reinforcement learning until each iteration [min]; increasing."""
    training_success: list[float | None] = field(default_factory=list)
    """Share of successful episodes among those finished in each iteration; None where none finished."""
    evaluation_steps: list[int] = field(default_factory=list)
    """Environment steps at which the policy was evaluated."""
    evaluation_successes: list[int] = field(default_factory=list)
    """Number of successful episodes of each evaluation."""
    evaluation_episodes: list[int] = field(default_factory=list)
    """Number of episodes of each evaluation."""
    evaluation_minutes: list[float] = field(default_factory=list)
    """Duration of the reinforcement learning until each evaluation, evaluations left out [min]; empty in old files."""
