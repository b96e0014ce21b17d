# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The normaliser of states and actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MIN_STD = 1.0e-3
"""Standard deviation below which a dimension counts as constant, in the dimension's own unit."""


class Normalizer(nn.Module):
    """Affine map to zero mean and unit variance for each of D dimensions; the identity until :meth:`fit` is called."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    @torch.no_grad()
    def fit(self, data: Tensor, constant_std: float) -> None:
        """Take the statistics of the data.

        A dimension that does not move in the data (its standard deviation is below :data:`MIN_STD`) gets
        ``constant_std`` instead, as division by almost zero would blow up the smallest later deviation. The right value
        depends on the direction the normaliser is used in: 1 for observations, where a later deviation should enter in
        its own unit; something small for actions, where an error of the network should not move a constant action.

        Args:
            data: Samples (N, D), in the dimensions' own units.
            constant_std: Standard deviation of the constant dimensions, in their own unit.

        Raises:
            ValueError: If the data is empty, has another width or is not finite.
        """
        if data.ndim != 2 or data.shape[0] == 0 or data.shape[1] != self.mean.shape[0]:
            raise ValueError(f"expected data of shape (N > 0, {self.mean.shape[0]}), got {tuple(data.shape)}.")
        if not torch.isfinite(data).all():
            raise ValueError("the data to normalise holds NaN or infinity.")
        # Double precision: a large offset, such as a world position, would cancel the variance in single precision.
        data = data.double()
        std = data.std(dim=0, correction=0)
        self.mean.copy_(data.mean(dim=0))
        self.std.copy_(torch.where(std < MIN_STD, torch.full_like(std, constant_std), std))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (..., D)."""
        return (x - self.mean) / self.std

    def inverse(self, x: Tensor) -> Tensor:
        """Undo :meth:`forward`, for x (..., D)."""
        return x * self.std + self.mean
