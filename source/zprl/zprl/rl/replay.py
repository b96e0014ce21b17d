# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Replay buffer of an off-policy learner, which a checkpoint holds in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    observations: dict[str, Tensor]
    next_observations: dict[str, Tensor]
    actions: Tensor
    rewards: Tensor
    discounts: Tensor

    def split(self, size: int) -> list[Transitions]:
        """Return consecutive batches of a size that divides B."""
        parts = [tensor.split(size) for tensor in (self.actions, self.rewards, self.discounts)]
        current = {name: tensor.split(size) for name, tensor in self.observations.items()}
        following = {name: tensor.split(size) for name, tensor in self.next_observations.items()}
        return [
            Transitions(
                {name: tensors[i] for name, tensors in current.items()},
                {name: tensors[i] for name, tensors in following.items()},
                *(part[i] for part in parts),
            )
            for i in range(len(parts[0]))
        ]


class ReplayBuffer:
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
        if self.capacity == 0:
            raise ZprlError(
                f"the replay buffer's capacity of {capacity} transitions is less than one step of {num_envs} worlds; "
                "raise agent.algorithm.replay_capacity."
            )

        def room(shape: Sequence[int]) -> Tensor:
            return torch.zeros(self.capacity, *shape, device=device)

        self.observations = {name: room(value.shape[1:]) for name, value in observations.items()}
        self.next_observations = {name: room(value.shape[1:]) for name, value in observations.items()}
        self.actions = room((num_actions,))
        self.rewards = room(())
        self.discounts = room(())
        self.total = 0
        """Number of transitions ever added."""

    def __len__(self) -> int:
        return min(self.total, self.capacity)

    def add(
        self,
        observations: Mapping[str, Tensor],
        next_observations: Mapping[str, Tensor],
        actions: Tensor,
        rewards: Tensor,
        discounts: Tensor,
    ) -> None:
        """Add one transition of every world; see :class:`Transitions`."""
        start = self.total % self.capacity
        rows = slice(start, start + self.num_envs)
        for name in self.observations:
            self.observations[name][rows] = observations[name]
            self.next_observations[name][rows] = next_observations[name]
        self.actions[rows], self.rewards[rows], self.discounts[rows] = actions, rewards, discounts
        self.total += self.num_envs

    def sample(self, count: int) -> Transitions:
        """Draw transitions uniformly, with replacement, from torch's default generator."""
        rows = torch.randint(len(self), (count,), device=self.rewards.device)
        return Transitions(
            {name: tensor[rows] for name, tensor in self.observations.items()},
            {name: tensor[rows] for name, tensor in self.next_observations.items()},
            self.actions[rows],
            self.rewards[rows],
            self.discounts[rows],
        )

    def latest(self, num_steps: int) -> dict[str, Tensor]:
        """Return the observations of the latest steps of all worlds, at most as many as there are."""
        rows = torch.arange(self.total - min(num_steps * self.num_envs, len(self)), self.total) % self.capacity
        return {name: tensor[rows.to(tensor.device)] for name, tensor in self.observations.items()}

    # -- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return the content for a checkpoint.

        What follows a transition is mostly the observation of the same world's next transition; it is written only
        where it is not, at the ends of episodes and of segments. This almost halves the file.
        """
        order = torch.arange(self.total - len(self), self.total, device=self.rewards.device) % self.capacity
        current = {name: tensor[order] for name, tensor in self.observations.items()}
        following = {name: tensor[order] for name, tensor in self.next_observations.items()}
        repeated = torch.ones(len(self), dtype=torch.bool, device=order.device)
        repeated[max(0, len(self) - self.num_envs) :] = False
        for name, tensor in following.items():
            same = tensor[: -self.num_envs] == current[name][self.num_envs :]
            repeated[: -self.num_envs] &= same.flatten(1).all(dim=1)
        content = {
            "total": self.total,
            "observations": current,
            "repeated": repeated,
            "other_next_observations": {name: tensor[~repeated] for name, tensor in following.items()},
            "actions": self.actions[order],
            "rewards": self.rewards[order],
            "discounts": self.discounts[order],
        }
        return _on_cpu(content)

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
        order = torch.arange(self.total - count, self.total) % self.capacity
        repeated = state["repeated"]
        for name, tensor in state["observations"].items():
            following = torch.empty_like(tensor)
            following[~repeated] = state["other_next_observations"][name]
            # Of the last step of all worlds nothing is repeated, so this stays inside.
            following[repeated] = tensor[repeated.nonzero().squeeze(1) + self.num_envs]
            self.observations[name][order] = tensor.to(self.rewards.device)
            self.next_observations[name][order] = following.to(self.rewards.device)
        for name in ("actions", "rewards", "discounts"):
            getattr(self, name)[order] = state[name].to(self.rewards.device)


def _on_cpu(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _on_cpu(value) for name, value in tree.items()}
    return tree.cpu() if isinstance(tree, Tensor) else tree
