# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The ablation without a bottleneck: a residual on the embedding that conditions the flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zprl.steering.steering import Steering, SteeringCfg
from zprl.utils.configclass import configclass

if TYPE_CHECKING:
    from zprl.policies import PolicyStep


@configclass
class EmbeddingResidualCfg(SteeringCfg):
    """Settings of :class:`EmbeddingResidual`."""

    class_type: str = "zprl.steering.embedding_residual:EmbeddingResidual"

    scale: float = 0.2
    """Bound of the residual as a multiple of RMS(e), the root mean square of the embedding over the demonstrations."""


class EmbeddingResidual(Steering):
    """e' = e + lambda * de, with de in [-1, 1], and the flow conditioned on e' itself.

    The base policy is the one without its bottleneck, :meth:`zprl.policies.FlowPolicy.act_plain`. It runs on torch.

    Args:
        cfg: Settings.
        step: The frozen base policy's step.
        embedding_rms: RMS(e) over the demonstrations [dimensionless].
    """

    critic_features = ("embedding",)
    rows_are_independent = False

    def __init__(self, cfg: EmbeddingResidualCfg, step: PolicyStep, embedding_rms: float) -> None:
        self.policy = step.policy
        self.scale = cfg.scale
        self.embedding_rms = embedding_rms
        self.residual_scale = cfg.scale * embedding_rms
        """Lambda [dimensionless]."""
        self.num_dims = step.policy.cfg.embed_dim

    @classmethod
    def make(cls, cfg: EmbeddingResidualCfg, step: PolicyStep, policy_meta: Mapping[str, Any]) -> EmbeddingResidual:
        """See :meth:`Steering.make`."""
        return cls(cfg, step, policy_meta["latent_statistics"]["embedding_rms"])

    @torch.no_grad()
    def features(self, obs: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``embedding``, e, shape (N, embed_dim)."""
        return {"embedding": self.policy.embed(obs)}

    def plan(self, obs: Tensor, u: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`Steering.plan`; ``u`` is clipped to [-1, 1]."""
        residual = None if u is None else self.residual_scale * u.clamp(-1.0, 1.0)
        return self.policy.act_plain(obs, noise, residual)

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
