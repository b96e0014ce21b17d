# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What only a simulator knows, in the training of an encoder: what it is told, and what it has understood.

The flow loss does not tell whether an encoder of images has found what matters: of two policies the worse one can have
the lower loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from zprl.policies.flow.dataset import ChunkDataset
from zprl.policies.flow.encoders import Normalizer
from zprl.policies.flow.policy import FlowPolicy
from zprl.utils.errors import ZprlError

HOLD_OUT_EVERY = 5
"""One of so many trajectories is read from, the others give the read-out."""


class PrivilegedTeacher(nn.Module):
    """Tells an encoder what only a simulator knows: a linear layer on the embedding is to predict it, standardised.

    Args:
        policy: The policy, whose embedding is read.
        data: The data set.
        weight: Weight of the loss; with 0 there is none.

    Raises:
        ZprlError: If there is a weight and nothing privileged in the data set.
    """

    def __init__(self, policy: FlowPolicy, data: ChunkDataset, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.head: nn.Linear | None = None
        if weight == 0.0:
            return
        if data.privileged is None:
            raise ZprlError(
                f"pretrain.privileged_weight is {weight:g}, and the data set has no privileged observations; set it to "
                "0, as data from a robot need."
            )
        device, width = data.privileged.device, data.privileged.shape[1]
        normalizer = Normalizer(width)
        normalizer.fit(data.privileged.cpu(), constant_std=1.0)
        self.target = normalizer.to(device)(data.privileged)
        self.head = nn.Linear(policy.cfg.embed_dim, width).to(device)

    def loss(self, e: Tensor, rows: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Return the weighted loss of embeddings (N, embed_dim) of some rows (N,), or None, and what to log."""
        if self.head is None:
            return None, {}
        error = functional.mse_loss(self.head(e), self.target[rows])
        return self.weight * error, {"privileged": error.detach()}


def readout_errors(
    sources: Mapping[str, Tensor], target: Tensor, features: Mapping[str, slice], episodes: Tensor
) -> dict[str, float]:
    """Return the errors of linear read-outs of privileged features, each in its own unit.

    A read-out is fitted by least squares on most trajectories, and its root-mean-square error taken over the numbers of
    a feature in the others, which the policy may have been trained on.

    Args:
        sources: What is read from, (M, D) each, by name.
        target: What is read (M, P).
        features: Where each feature lies in it, by name.
        episodes: Which trajectory each row is of (M,).

    Returns:
        Errors by "probe/feature/source"; none if there is only one trajectory.
    """
    held_out = (episodes % HOLD_OUT_EVERY == 0).to(target.device)
    errors: dict[str, float] = {}
    if bool(held_out.all()):
        return errors
    target = target.double().cpu()
    held_out = held_out.cpu()
    for source, values in sources.items():
        mean, std = values.mean(dim=0), values.std(dim=0, correction=0).clamp(min=1.0e-6)
        x = ((values - mean) / std).double().cpu()
        x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
        # By singular values: what never moves makes columns of zeros.
        weights = torch.linalg.lstsq(x[~held_out], target[~held_out], rcond=1.0e-8, driver="gelsd").solution
        residual = x[held_out] @ weights - target[held_out]
        for name, place in features.items():
            errors[f"probe/{name}/{source}"] = residual[:, place].square().mean().sqrt().item()
    return errors
