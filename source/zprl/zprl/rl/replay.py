# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Replay buffer of an off-policy learner, which a checkpoint holds in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zprl.utils.errors import ZprlError


@dataclass(frozen=True)
class Transitions:
    """A batch of B transitions.

    Attributes:
        observations: Observation groups by name, (B, ...) each.
        next_observations: The same after the step.
        actions: Outputs that were executed (B, num_actions).
        rewards: Rewards (B,).
        discounts: Weight of the next observation's value (B,): zero where the episode terminated.
    """

    observations: Mapping[str, Tensor]
    next_observations: Mapping[str, Tensor]
    actions: Tensor
    rewards: Tensor
    discounts: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Transitions:
        """Apply a function to every tensor."""
        return Transitions(
            {name: change(tensor) for name, tensor in self.observations.items()},
            {name: change(tensor) for name, tensor in self.next_observations.items()},
            change(self.actions),
            change(self.rewards),
            change(self.discounts),
        )

    def split(self, size: int) -> list[Transitions]:
        """Return consecutive batches of a size that divides B."""
        rows = (slice(start, start + size) for start in range(0, len(self.rewards), size))
        return [self.each(lambda tensor, part=part: tensor[part]) for part in rows]


class ReplayBuffer(Transitions):
    """Ring of the latest transitions of all worlds.

    It stores the observation groups that the learner reads, which are the base policy's features where those replace an
    observation: a camera's images never enter it.

    Args:
        capacity: Number of transitions, rounded down to whole steps of all worlds.
        num_envs: Number of worlds N, which add their transitions together.
        observations: Observation groups of the worlds by name, (N, ...) each; only their shapes count.
        num_actions: Length of an output.
        device: Where the transitions are kept.

    Raises:
        ZprlError: If the capacity is less than one step of all worlds.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        observations: Mapping[str, Tensor],
        num_actions: int,
        device: str | torch.device,
    ) -> None:
        self.num_envs = num_envs
        self.capacity = capacity - capacity % num_envs
        self.total = 0
        """Number of transitions ever added."""
        if self.capacity == 0:
            raise ZprlError(
                f"the replay buffer's capacity of {capacity} transitions is less than one step of {num_envs} worlds; "
                "raise agent.algorithm.replay_capacity."
            )

        def room(*shape: int) -> Tensor:
            return torch.zeros(self.capacity, *shape, device=device)

        current, following = ({name: room(*value.shape[1:]) for name, value in observations.items()} for _ in range(2))
        super().__init__(current, following, room(num_actions), room(), room())

    def __len__(self) -> int:
        return min(self.total, self.capacity)

    def add(self, step: Transitions) -> None:
        """Add one transition of every world; observation groups that the buffer does not have are left out."""
        start = self.total % self.capacity
        self._write(slice(start, start + self.num_envs), step)
        self.total += self.num_envs

    def _write(self, rows: slice | Tensor, new: Transitions) -> None:
        device = self.rewards.device
        for name in self.observations:
            self.observations[name][rows] = new.observations[name].to(device)
            self.next_observations[name][rows] = new.next_observations[name].to(device)
        for name in ("actions", "rewards", "discounts"):
            getattr(self, name)[rows] = getattr(new, name).to(device)

    def draw(self, count: int) -> Tensor:
        """Draw transitions uniformly, with replacement, from torch's default generator; return where they are."""
        return torch.randint(len(self), (count,), device=self.rewards.device)

    def at(self, rows: Tensor) -> Transitions:
        """Return copies of transitions."""
        return self.each(lambda tensor: tensor[rows])

    def latest(self, num_steps: int) -> dict[str, Tensor]:
        """Return the observations of the latest steps of all worlds, at most as many as there are."""
        rows = self._rows_of_latest(min(num_steps * self.num_envs, len(self)))
        return {name: tensor[rows] for name, tensor in self.observations.items()}

    def _rows_of_latest(self, count: int) -> Tensor:
        """Return where the latest transitions are, oldest first."""
        return torch.arange(self.total - count, self.total, device=self.rewards.device) % self.capacity

    # -- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return the content for a checkpoint, on the CPU.

        What follows a transition is mostly the observation of the same world's next transition; it is written only
        where it is not, at the ends of episodes and of segments. This almost halves the file.
        """
        rows = self._rows_of_latest(len(self))
        kept = self.each(lambda tensor: tensor[rows].cpu())
        repeated = torch.ones(len(self), dtype=torch.bool)
        repeated[max(0, len(self) - self.num_envs) :] = False
        for name, following in kept.next_observations.items():
            same = following[: -self.num_envs] == kept.observations[name][self.num_envs :]
            repeated[: -self.num_envs] &= same.flatten(1).all(dim=1)
        others = {name: tensor[~repeated] for name, tensor in kept.next_observations.items()}
        return {
            "total": self.total,
            "observations": kept.observations,
            "repeated": repeated,
            "other_next_observations": others,
            "actions": kept.actions,
            "rewards": kept.rewards,
            "discounts": kept.discounts,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            ValueError: If it belongs to a buffer of another capacity or of other observations or outputs.
        """
        count = state["rewards"].shape[0]
        shapes = {name: tensor.shape[1:] for name, tensor in self.observations.items()}
        theirs = {name: tensor.shape[1:] for name, tensor in state["observations"].items()}
        if (
            count != min(state["total"], self.capacity)
            or shapes != theirs
            or state["actions"].shape[1:] != self.actions.shape[1:]
        ):
            raise ValueError("its replay buffer has another capacity or holds other observations.")
        self.total = state["total"]
        following, repeated = {}, state["repeated"]
        for name, tensor in state["observations"].items():
            following[name] = torch.empty_like(tensor)
            following[name][~repeated] = state["other_next_observations"][name]
            # Of the last step of all worlds nothing is repeated, so this stays inside.
            following[name][repeated] = tensor[repeated.nonzero().squeeze(1) + self.num_envs]
        rest = (state[name] for name in ("actions", "rewards", "discounts"))
        self._write(self._rows_of_latest(count), Transitions(state["observations"], following, *rest))
