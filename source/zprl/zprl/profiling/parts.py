# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What is measured: the whole policy step, or of a policy that sees its two parts, each with its inputs.

The native core has no encoder of images: that of a policy that sees runs on torch, in front of a flow that is compiled.

::

    state, images -> [encoder] -> latent z (+ residual) -> [flow] -> chunk
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zprl.policies import FlowPolicy, NativePolicyStep
from zprl.policies.flow.hoisted import HoistedPolicy
from zprl.policies.flow.policy import STATE


@dataclass(frozen=True)
class Inputs:
    """Arguments of a policy step, or of a part of one, on N rows: one tensor (N, ...) each, by name and in order."""

    tensors: Mapping[str, Tensor]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors.values())

    @property
    def rows(self) -> int:
        """Number of rows N."""
        return len(next(iter(self)))

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Inputs:
        """Copy to a device, and to a precision what is no image of bytes."""
        return Inputs({k: x.to(device, dtype if x.is_floating_point() else x.dtype) for k, x in self.tensors.items()})


@dataclass(frozen=True)
class Part:
    """The policy step or a part of it, as all who run it get it."""

    name: str
    """"encoder" or "flow"; empty for the whole step."""

    draw: Callable[[FlowPolicy, int, int], Inputs]
    """Random inputs, for a number of rows and a seed."""

    module: Callable[[FlowPolicy], nn.Module]
    """The part for torch, TorchScript and ONNX, from the inputs in order."""

    exact: Callable[[FlowPolicy], Callable[..., Tensor]]
    """The same from a policy in double precision: the truth."""

    native: Callable[[NativePolicyStep], Callable[..., Tensor]] | None = None
    """What of the native step runs it, or None if that has no such part, which then runs eagerly."""


class Encoder(nn.Module):
    """From the state (N, obs_dim) and the images (N, ...), in the policy's order, to the latent's mean (N, latent_dim).

    Args:
        policy: Policy whose encoder runs. It is copied.
    """

    def __init__(self, policy: FlowPolicy) -> None:
        super().__init__()
        policy = copy.deepcopy(policy).eval().requires_grad_(False)
        del policy.velocity_field
        self.policy = policy

    def forward(self, state: Tensor, *images: Tensor) -> Tensor:
        """Encode."""
        obs = {STATE: state, **dict(zip(self.policy.image_shapes, images, strict=True))}
        return self.policy.bottleneck.encoder(self.policy.embed(obs)).chunk(2, dim=-1)[0]


class Flow(nn.Module):
    """From a latent (N, latent_dim) and the start of the flow (N, H, A) to the chunk (N, H, A).

    Args:
        policy: Policy whose flow runs. It is copied.
    """

    def __init__(self, policy: FlowPolicy) -> None:
        super().__init__()
        self.hoisted = HoistedPolicy(policy)
        del self.hoisted.policy.embedding

    def forward(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Decode and integrate."""
        return self.hoisted.integrate(self.hoisted.policy.decode(latent), noise)


def random_inputs(policy: FlowPolicy, rows: int, seed: int) -> Inputs:
    """Return states as the policy's normaliser expects them, steering of a usual size, and normal noise."""
    generator = torch.Generator().manual_seed(seed)
    normalizer = policy.obs_normalizer
    obs = torch.randn(rows, policy.obs_dim, generator=generator) * normalizer.std + normalizer.mean
    residual = 0.5 * torch.randn(rows, policy.cfg.latent_dim, generator=generator)
    noise = torch.randn(rows, *policy.chunk_shape, generator=generator)
    return Inputs({"obs": obs, "residual": residual, "noise": noise})


def _random_observations(policy: FlowPolicy, rows: int, seed: int) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    images = {
        name: torch.randint(0, 256, (rows, *shape), generator=generator, dtype=torch.uint8)
        for name, shape in policy.image_shapes.items()
    }
    return Inputs({STATE: random_inputs(policy, rows, seed).tensors["obs"], **images})


def _random_latents(policy: FlowPolicy, rows: int, seed: int) -> Inputs:
    drawn = random_inputs(policy, rows, seed).tensors
    return Inputs({"latent": 2.0 * drawn["residual"], "noise": drawn["noise"]})  # a latent's numbers are about 1


WHOLE = Part("", random_inputs, HoistedPolicy, lambda policy: policy.act, lambda step: step.act)
"""The whole step."""

ENCODER = Part("encoder", _random_observations, Encoder, Encoder)
"""From observation to latent."""

FLOW = Part("flow", _random_latents, Flow, lambda policy: policy.act_from_latent, lambda step: step.act_from_latent)
"""From latent to chunk."""
