# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policy step as one module for torch, TorchScript, ONNX and torch.compile, without what can be done beforehand."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from zprl.policies import FlowPolicy
from zprl.policies.flow import flow_matching


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
        self.solver = flow_matching.SOLVERS[policy.cfg.solver]
        self.num_steps = policy.cfg.num_flow_steps
        dtype, device = policy.fixed_noise.dtype, policy.fixed_noise.device
        times = flow_matching.evaluation_times(self.solver, self.num_steps)
        with torch.no_grad():
            field = copy.deepcopy(policy.velocity_field).double().cpu()
            tables = field.time_tables(torch.tensor(times, dtype=torch.float64))
        self.register_buffer("time_tables", tables.to(device, dtype))

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
        """The part that follows the condition.

        Args:
            condition: Decoded latent (N, embed_dim).
            noise: Start of the flow (N, H, A).

        Returns:
            Raw action chunk (N, H, A), within the action limits.
        """
        policy, field = self.policy, self.policy.velocity_field
        modulation = field.modulation(condition)
        chunk = flow_matching.integrate(
            lambda x, row: field.velocity(x, modulation, self.time_tables[row]), noise, self.solver, self.num_steps
        )
        return policy.action_normalizer.inverse(chunk).clamp(policy.action_low, policy.action_high)
