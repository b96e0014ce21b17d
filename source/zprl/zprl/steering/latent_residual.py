# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""ZPRL's steering: a residual on the bottleneck's latent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zprl.steering.steering import Steering, SteeringCfg
from zprl.utils.configclass import configclass

if TYPE_CHECKING:
    from zprl.policies.base import BasePolicy, Plan


@configclass
class LatentResidualCfg(SteeringCfg):
    """Settings of :class:`LatentResidual`."""

    class_type: str = "zprl.steering.latent_residual:LatentResidual"

    scale: float = 0.8
    """Lambda as a multiple of RMS(z), the root mean square of the latent's mean over the demonstrations."""


class LatentResidual(Steering):
    """z' = z + lambda * dz, with dz in [-1, 1] (arXiv 2605.19919).

    z is the mean that the bottleneck's encoder gives for the observation; z' is decoded into the condition of the flow.

    Args:
        cfg: Settings.
        base: The frozen base policy.
    """

    knob = "latent"
    critic_features = ("latent",)

    def __init__(self, cfg: LatentResidualCfg, base: BasePolicy) -> None:
        super().__init__(cfg, base)
        knob = base.knobs["latent"]
        self.num_dims = knob.width
        self.latent_rms = knob.rms
        """RMS(z) over the demonstrations [dimensionless]."""
        self.scale = cfg.scale
        self.residual_scale = cfg.scale * knob.rms
        """Lambda [dimensionless]."""

    def features(self, plan: Plan) -> dict[str, Tensor]:
        """Return ``latent``, the mean z (N, latent_dim)."""
        return {"latent": plan.latent.float()}

    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """See :meth:`Steering.apply`; ``u`` is clipped to [-1, 1]."""
        residual = self.residual_scale * u.clamp(-1.0, 1.0)
        return {"latent": plan.latent + residual.to(plan.latent.dtype)}

    def critic_action(self, seen: Mapping[str, Tensor], u: Tensor) -> Tensor:
        """Return z' in units of RMS(z) (N, latent_dim)."""
        return (seen["latent"] + self.residual_scale * u.clamp(-1.0, 1.0)) / self.latent_rms

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return f"a residual on the latent, lambda {self.residual_scale:.2f} = {self.scale} RMS(z)"

    def sizes(self) -> dict[str, float]:
        """Return lambda and RMS(z)."""
        return {"residual_scale": self.residual_scale, "latent_rms": self.latent_rms}

    def metrics(self, u: Tensor) -> dict[str, Tensor]:
        """Return lambda, RMS(lambda dz), RMS(z) and their ratio, which is the size of the exploration."""
        rms = self.residual_scale * u.clamp(-1.0, 1.0).square().mean().sqrt()
        return {
            "Steering/lambda": torch.tensor(self.residual_scale),
            "Steering/rms_residual": rms,
            "Steering/rms_latent": torch.tensor(self.latent_rms),
            "Steering/residual_ratio": rms / self.latent_rms,
        }
