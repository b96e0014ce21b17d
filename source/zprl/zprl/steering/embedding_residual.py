# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The ablation without a bottleneck: a residual on the embedding that conditions the flow."""

from __future__ import annotations

from torch import Tensor

from zprl.policies.base import Plan
from zprl.steering.steering import KnobResidual, SteeringCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NonNegativeFloat


@configclass
class EmbeddingResidualCfg(SteeringCfg):
    """Settings of :class:`EmbeddingResidual`."""

    class_type: Name = "zprl.steering.embedding_residual:EmbeddingResidual"

    scale: NonNegativeFloat = 0.2
    """Bound of the residual as a multiple of RMS(e), the root mean square of the embedding over the demonstrations."""


class EmbeddingResidual(KnobResidual):
    """e' = e + lambda * de, with de in [-1, 1], and the flow conditioned on e' itself.

    The base policy is the one without its bottleneck.
    """

    knob = "embedding"

    def act(self, plan: Plan, u: Tensor | None = None) -> Tensor:
        """See :meth:`Steering.act`; the policy itself acts without its bottleneck too."""
        return self.policy.act(plan, embedding=plan.embedding) if u is None else super().act(plan, u)

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return f"a residual on the embedding, lambda {self.residual_scale:.3f} = {self.scale} RMS(e)"
