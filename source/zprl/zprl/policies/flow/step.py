# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What runs a flow policy: the torch module, or the compiled operators of :mod:`zprl.policies.native`."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from zprl.policies.flow.policy import FlowPolicy, Inputs


class PolicyStep(Protocol):
    """A policy step for acting, whatever runs it. No gradients are recorded."""

    backend: str
    """Name of what runs it: "native", "native_tf32", "native_bf16" or "torch"."""

    policy: FlowPolicy
    """The policy that runs."""

    @property
    def independent_rows(self) -> bool:
        """Whether a row of a result is the same to the last bit whatever rows are beside it."""
        ...

    def latent(self, inputs: Inputs) -> Tensor:
        """Mean z of the latent (N, latent_dim) of a policy's inputs, as exactly as it is computed."""
        ...

    def act_from_latent(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Raw chunk (N, H, A) from a latent (N, latent_dim), that of :meth:`latent` or another, and noise (N, H, A)."""
        ...

    def act(self, obs: Inputs, residual: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`FlowPolicy.act`."""
        ...

    def encode(self, obs: Inputs) -> tuple[Tensor, Tensor]:
        """See :meth:`FlowPolicy.encode`."""
        ...


class TorchPolicyStep:
    """The torch module as a policy step. It follows the module's device, precision and later weight changes.

    Args:
        policy: Policy to run.
    """

    backend = "torch"
    independent_rows = False

    def __init__(self, policy: FlowPolicy) -> None:
        self.policy = policy

    def latent(self, inputs: Inputs) -> Tensor:
        """See :meth:`PolicyStep.latent`."""
        return self.encode(inputs)[0]

    @torch.no_grad()
    def act_from_latent(self, latent: Tensor, noise: Tensor) -> Tensor:
        """See :meth:`PolicyStep.act_from_latent`."""
        return self.policy.generate(self.policy.decode(latent), noise)

    def act(self, obs: Inputs, residual: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`FlowPolicy.act`."""
        return self.policy.act(obs, residual, noise)

    @torch.no_grad()
    def encode(self, obs: Inputs) -> tuple[Tensor, Tensor]:
        """See :meth:`FlowPolicy.encode`."""
        return self.policy.encode(obs)
