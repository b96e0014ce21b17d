# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""ZPRL's steering: a residual on the bottleneck's latent."""

from __future__ import annotations

import torch
from torch import Tensor

from zprl.steering.steering import KnobResidual, SteeringCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NonNegativeFloat


@configclass
class LatentResidualCfg(SteeringCfg):
    """Settings of :class:`LatentResidual`."""

    class_type: Name = "zprl.steering.latent_residual:LatentResidual"

    scale: NonNegativeFloat = 0.8
    """Lambda as a multiple of RMS(z), the root mean square of the latent's mean over the demonstrations."""


class LatentResidual(KnobResidual):
    """z' = z + lambda * dz, with dz in [-1, 1] (arXiv 2605.19919).

    z is the mean that the bottleneck's encoder gives for the observation; z' is decoded into the condition of the flow.
    """

    knob = "latent"

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return f"a residual on the latent, lambda {self.residual_scale:.2f} = {self.scale} RMS(z)"

    def metrics(self, u: Tensor) -> dict[str, Tensor]:
        """Return lambda, RMS(lambda dz), RMS(z) and their ratio, which is the size of the exploration."""
        sizes = {"lambda": self.residual_scale, "rms_latent": self.rms}
        return {f"Steering/{name}": torch.tensor(size) for name, size in sizes.items()} | super().metrics(u)
