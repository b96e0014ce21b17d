# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Base policy, steering and actor in one, as evaluations, videos and studies run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from tensordict import TensorDict
from torch import Tensor

from zprl.policies.base import BasePolicy, Plan
from zprl.spec import Observations
from zprl.steering.steering import Steering

Actor = Callable[[TensorDict], Tensor]
"""Maps what the learner sees to its deterministic output u (N, num_dims)."""


class ChunkPolicy:
    """What acts in chunks: maps observations to actions, row by row where rows would disturb each other.

    Args:
        policy: The policy whose plans are executed.
        act: Maps a plan of it to the chunk (N, T, A).
        mixes_rows: Whether rows have to be planned one by one, so that an episode's outcome does not depend on those
            that run beside it.
        execute_steps: Number of actions of a chunk that are executed; the policy's own if None.
    """

    def __init__(
        self,
        policy: BasePolicy,
        act: Callable[[Plan], Tensor],
        mixes_rows: bool = False,
        execute_steps: int | None = None,
    ) -> None:
        self.policy = policy
        self.execute_steps = execute_steps or policy.execute_steps
        self._act = act
        self._mixes_rows = mixes_rows

    def begin_episodes(self, worlds: Tensor | None = None) -> None:
        """See :meth:`BasePolicy.begin_episodes`."""
        self.policy.begin_episodes(worlds)

    @torch.inference_mode()
    def __call__(self, obs: Observations, noise: Tensor | None = None) -> Tensor:
        """Plan a chunk.

        Args:
            obs: Observations.
            noise: Start of the base policy's generator (N, H, A), or None for its own.

        Returns:
            Actions (N, T, A), of which the first :attr:`execute_steps` are to be executed.
        """
        if not self._mixes_rows:
            return self._act(self.policy.encode(obs, noise))
        chunks = []
        for i in range(len(next(iter(obs.values())))):
            row = {name: value[i : i + 1] for name, value in obs.items()}
            chunks.append(self._act(self.policy.encode(row, None if noise is None else noise[i : i + 1])))
        return torch.cat(chunks)


def base_chunks(steering: Steering) -> ChunkPolicy:
    """Return the frozen base policy as the steering leaves it without an output."""
    knob = None if steering.closed_loop else steering.knob
    act = steering.base.act if steering.closed_loop else steering.act
    return ChunkPolicy(steering.base, act, steering.base.mixes_rows(knob))


def plain_chunks(base: BasePolicy) -> ChunkPolicy:
    """Return a base policy without its bottleneck."""
    return ChunkPolicy(base, lambda plan: base.act(plan, embedding=plan.embedding), base.mixes_rows("embedding"))


def steered_chunks(steering: Steering, actor: Actor, groups: Iterable[str]) -> ChunkPolicy:
    """Return the steered policy, deterministic.

    Args:
        steering: The steering interface around the base policy.
        actor: The learner's actor.
        groups: Observation groups and features that the actor sees.
    """
    names = list(groups)
    # In closed loop the policy remembers its running chunks, which one row at a time would disturb.
    mixes_rows = not steering.closed_loop and steering.policy.mixes_rows(steering.knob)
    return ChunkPolicy(
        steering.policy,
        lambda plan: steering.act(plan, actor(steering.observe(plan, names))),
        mixes_rows,
        steering.execute_steps,
    )
