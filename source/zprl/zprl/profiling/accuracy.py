# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How far a policy step is from the truth, and how far it may be.

The truth is the torch module in double precision on the same weights: for bfloat16, on the weights rounded to bfloat16.
So an error is one of arithmetic, and not one of how the weights are stored. Errors are relative to the root mean square
of the true chunk, in normalised action units and before clamping.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zprl.policies import FlowPolicy


@dataclass(frozen=True)
class Errors:
    """Errors of chunks against the truth. All are NaN if a result is."""

    max: float
    """Largest error, in units of the truth's root mean square."""

    rms: float
    """Root mean square of the error, in the same units."""

    cosine: float
    """1 - cosine of the angle between result and truth."""

    def broken_rules(self, dtype: str) -> list[str]:
        """Names of the entries that exceed the :data:`RULES` of a precision. NaN exceeds every rule."""
        return [name for name, limit in RULES[dtype].items() if not getattr(self, name) <= limit]


RULES: dict[str, dict[str, float]] = {
    "float32": {"max": 1.0e-5},
    "tf32": {"rms": 1.0e-3, "max": 1.0e-2},
    "bfloat16": {"rms": 6.0e-3, "max": 3.0e-2, "cosine": 2.0e-5},
}
"""Largest errors that the native step may have, by precision."""


def measure_errors(result: Tensor, truth: Tensor) -> Errors:
    """Compare chunks with the truth.

    Args:
        result: Chunks (N, H, A), of any precision and on any device.
        truth: True chunks (N, H, A), in double precision.

    Raises:
        ValueError: If the shapes differ.
    """
    if result.shape != truth.shape:
        raise ValueError(f"a chunk has the shape {tuple(result.shape)} instead of {tuple(truth.shape)}.")
    result, truth = result.detach().to("cpu", torch.float64).flatten(), truth.flatten()
    scale = truth.square().mean().sqrt()
    error = (result - truth) / scale
    # As half the squared distance of the unit vectors: 1 - cos itself would drown in rounding.
    distance = result / result.norm() - truth / truth.norm()
    values = error.abs().max(), error.square().mean().sqrt(), 0.5 * distance.square().sum()
    numbers = [float(value) for value in values]
    return Errors(*numbers) if all(map(math.isfinite, numbers)) else Errors(math.nan, math.nan, math.nan)


def quantised_copy(policy: FlowPolicy, dtype: str) -> FlowPolicy:
    """Return a copy whose layers hold only values that a precision can represent, still stored as float32.

    All weights and biases of linear layers and convolutions are rounded. Normalisers and limits are not: they work in
    the units of the data, where bfloat16 would be a coarse ruler.
    """
    policy = copy.deepcopy(policy)
    if dtype == "bfloat16":
        for layer in policy.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.ConvTranspose1d):
                for value in (layer.weight.data, *([] if layer.bias is None else [layer.bias.data])):
                    value.copy_(value.bfloat16())
    return policy


def double_copy(policy: FlowPolicy) -> FlowPolicy:
    """Return a copy in double precision on the CPU: the truth."""
    return copy.deepcopy(policy).cpu().double()
