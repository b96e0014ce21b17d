# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a base policy is to steering, learners and evaluations, whoever trained it.

An observation is encoded once per chunk into a :class:`Plan`; everything that steers the policy works on that::

    observations -> encode() -> Plan: embedding, latent, noise, actions
                                  |
                        steering changes one of them
                                  |
                     act(plan, latent=z') -> action chunk (N, H, A)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from zprl.spec import Group, Observations, TaskSpec
from zprl.utils.errors import ZprlError


@dataclass(frozen=True)
class Knob:
    """Something of a :class:`Plan` that a base policy can be steered by.

    Attributes:
        width: Number of its numbers for a chunk.
        rms: Its root mean square over the demonstrations, by which residuals are scaled.
    """

    width: int
    rms: float


class Plan:
    """What a base policy makes of one observation of each world: computed once, and only if somebody asks for it.

    Args:
        policy: The policy.
        obs: Observations.
        noise: Start of the policy's generator, of :attr:`BasePolicy.start_shape` per world, or None for its own.
    """

    def __init__(self, policy: BasePolicy, obs: Observations, noise: Tensor | None = None) -> None:
        self._policy = policy
        self.obs = obs
        if noise is not None:
            self.noise = noise

    @cached_property
    def embedding(self) -> Tensor:
        """Embedding e of the observations (N, E)."""
        return self._policy.embed(self)

    @cached_property
    def latent(self) -> Tensor:
        """Mean z of the bottleneck's latent (N, L), in the precision that :meth:`BasePolicy.act` goes on with."""
        return self._policy.latent(self)

    @cached_property
    def noise(self) -> Tensor:
        """Where the policy's generator starts (N, *start_shape)."""
        return self._policy.start(self)

    @cached_property
    def actions(self) -> Tensor:
        """The chunk that the policy puts out by itself (N, H, A)."""
        return self._policy.act(self)

    @property
    def batch_size(self) -> int:
        """Number of worlds N."""
        return len(next(iter(self.obs.values())))


class BasePolicy(ABC):
    """A pretrained policy that puts out action chunks, frozen."""

    spec: TaskSpec
    """What it was trained to see and do."""

    horizon: int
    """Number of actions H of a chunk."""

    execute_steps: int
    """Number of actions Ta of a chunk that are executed before it is asked again."""

    knobs: Mapping[str, Knob]
    """What it can be steered by, among "latent", "embedding", "noise" and "actions"."""

    backend: str = "torch"
    """Name of what runs it."""

    samples_noise: bool = False
    """Whether its generator starts from noise that is drawn anew for every chunk."""

    action_low: Tensor
    """Lower limits of the actions (A,)."""

    action_high: Tensor
    """Upper limits of the actions (A,)."""

    inference_settings: Mapping[str, Any] = {}
    """Settings that it acts with and that no weight depends on, for a checkpoint."""

    initial_noise: str = "sampled"
    """Where its generator starts, in a word, for a result."""

    @property
    def action_dim(self) -> int:
        """Length of an action A."""
        return self.spec.action_dim

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Shape (H, A) of a chunk."""
        return self.horizon, self.action_dim

    @property
    def start_shape(self) -> tuple[int, int]:
        """Shape of where its generator starts: that of a chunk, unless the generator makes more than it puts out."""
        return self.chunk_shape

    @property
    def noise_shape(self) -> tuple[int, int] | None:
        """Shape of the noise that an evaluation draws for every chunk, or None if the setting draws none."""
        return self.start_shape if self.samples_noise else None

    def encode(self, obs: Observations, noise: Tensor | None = None) -> Plan:
        """Begin a plan. What is computed of the observations is computed once, when it is first asked for.

        Args:
            obs: Observations; they must not change while the plan is used.
            noise: Start of the generator (N, H, A); None follows the policy's setting.
        """
        return Plan(self, obs, noise)

    @abstractmethod
    def act(
        self,
        plan: Plan,
        *,
        latent: Tensor | None = None,
        embedding: Tensor | None = None,
        noise: Tensor | None = None,
        actions: Tensor | None = None,
    ) -> Tensor:
        """Put out a chunk. What is given takes the place of what the plan holds; without any, it is the policy's own.

        Args:
            plan: The plan.
            latent: Latent z' (N, L).
            embedding: Condition e' of the generator (N, E); the bottleneck is then left out.
            noise: Start of the generator (N, H, A).
            actions: Actions (N, T, A), T at most H, which are only bounded.

        Returns:
            Actions in the environment's units (N, H, A), within the limits; with ``actions`` as many as those.
        """

    def embed(self, plan: Plan) -> Tensor:
        """Return the embedding of a plan's observations; see :attr:`Plan.embedding`."""
        raise ZprlError(f"{type(self).__name__} has no embedding.")

    def latent(self, plan: Plan) -> Tensor:
        """Return the latent of a plan's observations; see :attr:`Plan.latent`."""
        raise ZprlError(f"{type(self).__name__} has no latent.")

    def start(self, plan: Plan) -> Tensor:
        """Return where the generator starts; see :attr:`Plan.noise`."""
        raise ZprlError(f"{type(self).__name__} has no noise.")

    def bounded(self, actions: Tensor) -> Tensor:
        """Return actions (..., A) within the limits."""
        return actions.clamp(self.action_low, self.action_high)

    def mixes_rows(self, knob: str | None) -> bool:
        """Return whether a row of a chunk may depend on the rows beside it, to the last bit.

        Args:
            knob: What it is steered by, or None.
        """
        return True

    def begin_episodes(self, worlds: Tensor | None = None) -> None:  # noqa: B027 - most policies remember nothing
        """Forget what was planned in episodes that are over.

        Args:
            worlds: Which worlds begin an episode with the next observation (N,), bool; None for all.
        """

    def require_knob(self, name: str, who: str) -> Knob:
        """Return a knob.

        Args:
            name: Its name; see :attr:`knobs`.
            who: Who needs it, for the error message.

        Raises:
            ZprlError: If this policy does not have it.
        """
        if name not in self.knobs:
            known = ", ".join(self.knobs) or "nothing"
            raise ZprlError(
                f"{who} steers a base policy by its {name}, and this one ({type(self).__name__}) has none; it can be "
                f"steered by {known}."
            )
        return self.knobs[name]


_WINDOW = "_window"


def window_group(group: Group, steps: int) -> Group:
    """Return the group that holds a group's last observations, oldest first: itself for one step.

    Args:
        group: A group of vectors.
        steps: Number of observations.
    """
    if steps == 1:
        return group
    features = tuple(replace(feature, history=feature.history * steps) for feature in group.features)
    return Group(f"{group.name}{_WINDOW}", features)


def window_source(name: str) -> str:
    """Return the name of the group that a group of :func:`window_group` is made of."""
    return name.removesuffix(_WINDOW)


class ChunkPlayer(BasePolicy):
    """Plays a base policy's chunks action by action, for a learner that acts in every control step.

    A plan's ``actions`` is then the one action that is due (N, 1, A). The policy plans at the beginning of an episode
    and whenever ``execute_steps`` of its actions were executed, as it would alone.

    Args:
        policy: The policy that plans.
    """

    horizon = execute_steps = 1

    def __init__(self, policy: BasePolicy) -> None:
        self.policy = policy
        self.spec, self.backend, self.samples_noise = policy.spec, policy.backend, policy.samples_noise
        self.action_low, self.action_high = policy.action_low, policy.action_high
        self.knobs = {"actions": Knob(policy.action_dim, policy.knobs["actions"].rms)}
        self._chunk: Tensor | None = None
        self._next = torch.empty(0)
        """Index of the action that is due (N,)."""

    def begin_episodes(self, worlds: Tensor | None = None) -> None:
        """See :meth:`BasePolicy.begin_episodes`."""
        if worlds is None:
            self._chunk = None
        elif self._chunk is not None:
            self._next = torch.where(worlds, self.policy.execute_steps, self._next)

    def encode(self, obs: Observations, noise: Tensor | None = None) -> Plan:
        """Go on by one control step; the policy encodes the observations where a chunk is due."""
        plan, fresh = Plan(self, obs, noise), self.policy.encode(obs, noise)
        if self._chunk is None or self._chunk.shape[0] != fresh.batch_size:
            self._chunk = fresh.actions
            self._next = torch.zeros(fresh.batch_size, dtype=torch.long, device=self._chunk.device)
        else:
            self._next = self._next + 1
            due = self._next >= self.policy.execute_steps
            # Asking whether anything is due makes the host wait for a GPU, which plans everything anew as fast.
            if due.device.type != "cpu" or due.any():
                self._chunk = torch.where(due[:, None, None], fresh.actions, self._chunk)
                self._next = torch.where(due, 0, self._next)
        plan.actions = self._chunk.gather(1, self._next.view(-1, 1, 1).expand(-1, 1, self.action_dim))
        return plan

    def embed(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.embed`."""
        return self.policy.embed(plan)

    def latent(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.latent`."""
        return self.policy.latent(plan)

    def act(self, plan: Plan, *, actions: Tensor | None = None, **others: Tensor | None) -> Tensor:
        """See :meth:`BasePolicy.act`; only ``actions`` can be given."""
        return self.bounded(plan.actions if actions is None else actions)
