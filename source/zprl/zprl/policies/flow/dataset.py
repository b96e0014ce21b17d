# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training pairs of observations and the actions that follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from zprl.policies.flow.cfg import FlowPolicyCfg
from zprl.policies.flow.policy import STATE, Inputs
from zprl.spec import Group


class ChunkDataset:
    """Training pairs: every observation of some trajectories with the next H actions.

    A chunk that reaches past the end of its trajectory repeats the last action, so that the policy also learns how to
    end. States and actions lie on the device; images stay where they are and go there batch by batch.

    Args:
        observations: Observations by group of each trajectory, (T_i, ...) each.
        actions: Actions (T_i, A) of each trajectory.
        cfg: Configuration of the policy, whose ``observation_groups`` and ``horizon`` count.
        image_shapes: Shapes of the groups that are images, by name.
        device: Device of the batches.
        privileged: Groups that only a simulator knows, which training may tell the policy's encoder about.

    Raises:
        ValueError: If there is no trajectory, a group is missing, the lengths of one differ or are zero, or a depth is
            no number.
    """

    def __init__(
        self,
        observations: Sequence[Mapping[str, ArrayLike]],
        actions: Sequence[ArrayLike],
        cfg: FlowPolicyCfg,
        image_shapes: Mapping[str, Sequence[int]],
        device: torch.device,
        privileged: Sequence[Group] = (),
    ) -> None:
        if not observations or len(observations) != len(actions):
            raise ValueError(f"expected as many trajectories of each kind, got {len(observations)} and {len(actions)}.")
        missing = [name for name in cfg.observation_groups if name not in observations[0]]
        if missing:
            known = ", ".join(observations[0])
            raise ValueError(f"the policy is to see the observation group {missing[0]}, and there are only {known}.")
        vectors = [name for name in cfg.observation_groups if name not in image_shapes]
        moves = [torch.as_tensor(action, dtype=torch.float32) for action in actions]
        states, chunks = [], []
        for index, (obs, move) in enumerate(zip(observations, moves, strict=True)):
            parts = [torch.as_tensor(obs[name], dtype=torch.float32) for name in vectors]
            states.append(torch.cat(parts, dim=1) if parts else torch.zeros(len(move), 0))
            if len(states[-1]) != len(move) or len(move) == 0:
                raise ValueError(f"trajectory {index} has {len(states[-1])} observations and {len(move)} actions.")
            padded = torch.cat([move, move[-1:].expand(cfg.horizon - 1, -1)])
            chunks.append(padded.unfold(0, cfg.horizon, 1).transpose(1, 2))
        self.state = torch.cat(states).to(device)
        """All states (M, obs_dim), with M the sum of all T_i."""
        self.chunks = torch.cat(chunks).to(device)
        """What follows each state (M, H, A)."""
        self.actions = torch.cat(moves).to(device)
        """All actions (M, A)."""
        self._device = device
        self._images = {name: torch.cat([torch.as_tensor(obs[name]) for obs in observations]) for name in image_shapes}
        for name, images in self._images.items():
            if len(images) != len(self):
                raise ValueError(f"there are {len(images)} images {name} for {len(self)} observations.")
            if images.is_floating_point() and images.isnan().any():
                raise ValueError(f"the images {name} hold NaN.")
        told = [[torch.as_tensor(obs[group.name], dtype=torch.float32) for group in privileged] for obs in observations]
        self.privileged = torch.cat([torch.cat(parts, dim=1) for parts in told]).to(device) if privileged else None
        """What only a simulator knows (M, P), or None."""
        self.privileged_features = _features(privileged)
        """Where each of its features lies."""
        lengths = torch.tensor([len(move) for move in moves])
        self.episodes = torch.arange(len(moves)).repeat_interleave(lengths)
        """Which trajectory each row is of (M,)."""

    def __len__(self) -> int:
        return len(self.chunks)

    def inputs(self, rows: Tensor | slice) -> Inputs:
        """Return what the policy takes of some observations, see :meth:`FlowPolicy.inputs`."""
        if not self._images:
            return self.state[rows]
        where = rows.cpu() if isinstance(rows, Tensor) else rows
        images = {name: values[where].to(self._device, non_blocking=True) for name, values in self._images.items()}
        return {STATE: self.state[rows], **images}


def _features(groups: Sequence[Group]) -> dict[str, slice]:
    """Return where each feature lies in groups that stand side by side."""
    places, start = {}, 0
    for group in groups:
        for name, place in group.slices().items():
            places[name] = slice(start + place.start, start + place.stop)
        start += group.shape[0]
    return places
