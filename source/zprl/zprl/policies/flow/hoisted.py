# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policy step as one module for torch, TorchScript, ONNX and torch.compile, without what can be done beforehand."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from zprl.policies.flow.policy import FlowPolicy


class HoistedPolicy(nn.Module):
    """:meth:`FlowPolicy.act` from the policy's own submodules, as fast as torch allows.

    What depends on the weights alone is computed here, once and in double precision: the time tables. The log-variance,
    which acting does not need, is left out after the layer that computes it. So a rival of the native step gets the
    same weights and the same separable model, and does no work that ours does not do.

    Args:
        policy: Policy to run. It is copied.
    """

    time_tables: Tensor

    def __init__(self, policy: FlowPolicy) -> None:
        super().__init__()
        self.policy = copy.deepcopy(policy).eval().requires_grad_(False)
        self.register_buffer("time_tables", self.policy.exact_time_tables().to(policy.fixed_noise))

    def forward(self, obs: Tensor, residual: Tensor, noise: Tensor) -> Tensor:
        """The whole policy step.

        Args:
            obs: Raw observations (N, obs_dim).
            residual: What to add to the latent's mean (N, latent_dim).
            noise: Start of the flow (N, H, A).

        Returns:
            Raw action chunk (N, H, A), within the action limits.
        """
        mean, _ = self.policy.bottleneck.encoder(self.policy.embed(obs)).chunk(2, dim=-1)
        return self.integrate(self.policy.decode(mean + residual), noise)

    def integrate(self, condition: Tensor, noise: Tensor) -> Tensor:
        """The part that follows the condition, a decoded latent (N, embed_dim)."""
        return self.policy.generate(condition, noise, self.time_tables)
