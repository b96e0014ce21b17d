# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The ablation without a bottleneck: a residual on the embedding that conditions the flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from zprl.steering.steering import Steering, SteeringCfg
from zprl.utils.configclass import configclass

if TYPE_CHECKING:
    from zprl.policies.base import BasePolicy, Plan


@configclass
class EmbeddingResidualCfg(SteeringCfg):
    """Settings of :class:`EmbeddingResidual`."""

    class_type: str = "zprl.steering.embedding_residual:EmbeddingResidual"

    scale: float = 0.2
    """Bound of the residual as a multiple of RMS(e), the root mean square of the embedding over the demonstrations."""


class EmbeddingResidual(Steering):
    """e' = e + lambda * de, with de in [-1, 1], and the flow conditioned on e' itself.

    The base policy is the one without its bottleneck.

    Args:
        cfg: Settings.
        base: The frozen base policy.
    """

    knob = "embedding"
    critic_features = ("embedding",)

    def __init__(self, cfg: EmbeddingResidualCfg, base: BasePolicy) -> None:
        super().__init__(cfg, base)
        knob = base.knobs["embedding"]
        self.num_dims = knob.width
        self.embedding_rms = knob.rms
        """RMS(e) over the demonstrations [dimensionless]."""
        self.scale = cfg.scale
        self.residual_scale = cfg.scale * knob.rms
        """Lambda [dimensionless]."""

    def features(self, plan: Plan) -> dict[str, Tensor]:
        """Return ``embedding``, e (N, embed_dim)."""
        return {"embedding": plan.embedding}

    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """See :meth:`Steering.apply`; ``u`` is clipped to [-1, 1]."""
        return {"embedding": plan.embedding + self.residual_scale * u.clamp(-1.0, 1.0)}

    def act(self, plan: Plan, u: Tensor | None = None) -> Tensor:
        """See :meth:`Steering.act`; the policy itself acts without its bottleneck too."""
        return self.policy.act(plan, embedding=plan.embedding) if u is None else super().act(plan, u)

    def critic_action(self, seen: Mapping[str, Tensor], u: Tensor) -> Tensor:
        """Return e' in units of RMS(e), shape (N, embed_dim)."""
        return (seen["embedding"] + self.residual_scale * u.clamp(-1.0, 1.0)) / self.embedding_rms

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return f"a residual on the embedding, lambda {self.residual_scale:.3f} = {self.scale} RMS(e)"

    def sizes(self) -> dict[str, float]:
        """Return lambda and RMS(e)."""
        return {"residual_scale": self.residual_scale, "embedding_rms": self.embedding_rms}

    def metrics(self, u: Tensor) -> dict[str, Tensor]:
        """Return RMS(lambda de) and its ratio to RMS(e)."""
        rms = self.residual_scale * u.clamp(-1.0, 1.0).square().mean().sqrt()
        return {"Steering/rms_residual": rms, "Steering/residual_ratio": rms / self.embedding_rms}
