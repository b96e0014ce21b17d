# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The steered policy as one module, from raw observation to action chunk, in the forms that are exported or compared.

::

    obs -> encoder -> z ------------------------+-> decoder -> flow from the initial noise -> chunk
              obs, z -> actor -> u -> clamp -> lambda *       (the actor of SAC ends in a tanh)
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zprl.policies import FlowPolicy
from zprl.policies.flow.hoisted import HoistedPolicy
from zprl.policies.native.blob import pack_policy
from zprl.policies.native.library import load_torch_library
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.rl.checkpoint import SteeringCheckpoint


class SteeredPolicy(nn.Module):
    """Base policy, actor and steering in one module whose only input is the observation.

    Exporters trace three methods: :meth:`forward`, :meth:`base` and :meth:`latent`.

    Args:
        policy: The base policy. Its ``initial_noise`` must draw nothing.
        actor: The learner's network on [obs, z], its output not clamped; None for the base policy alone.
        residual_scale: Lambda [dimensionless].

    Raises:
        ZprlError: If the initial noise is sampled.
    """

    noise: Tensor

    def __init__(self, policy: FlowPolicy, actor: nn.Module | None, residual_scale: float) -> None:
        super().__init__()
        if policy.cfg.initial_noise == "sampled":
            raise ZprlError(
                "a policy that samples its initial noise cannot be exported, as nobody could check what it does; "
                "export it with policy.initial_noise=zero or policy.initial_noise=fixed."
            )
        self.latent_dim = policy.cfg.latent_dim
        self.residual_scale = residual_scale if actor is not None else 0.0
        self.actor = None if actor is None else copy.deepcopy(actor).cpu().double().eval().requires_grad_(False)
        self.register_buffer("noise", policy.sample_noise(1).detach().cpu().clone())

    def forward(self, obs: Tensor) -> Tensor:
        """Action chunk (N, H, A), in the task's units, of raw observations (N, D)."""
        return self.plan(obs, self.actor)

    def base(self, obs: Tensor) -> Tensor:
        """What the frozen base policy does: the chunk (N, H, A) without the actor."""
        return self.plan(obs, None)

    @abstractmethod
    def latent(self, obs: Tensor) -> Tensor:
        """Mean z of the latent (N, L) of raw observations (N, D)."""

    @abstractmethod
    def plan(self, obs: Tensor, actor: nn.Module | None) -> Tensor:
        """Chunk (N, H, A) of raw observations (N, D), steered by the actor if there is one."""

    def residual(self, obs: Tensor, latent: Tensor, actor: nn.Module) -> Tensor:
        """What steering adds to the latent (N, L); see :class:`zprl.steering.LatentResidual`.

        The actor computes in double precision, as in :func:`zprl.rl.actor.row_by_row`.
        """
        u = actor(torch.cat([obs, latent], dim=-1).double()).to(obs.dtype)
        return self.residual_scale * u.clamp(-1.0, 1.0)

    def start(self, obs: Tensor) -> Tensor:
        """Initial noise (N, H, A)."""
        return self.noise.expand(obs.shape[0], -1, -1)


class PortableSteeredPolicy(SteeredPolicy):
    """:class:`SteeredPolicy` in operators that every PyTorch has.

    What leads to the condition of the flow is computed in double precision: it is a tenth of the arithmetic, and a
    trained flow enlarges its rounding a hundredfold, which in single precision ends at 3e-5 of a chunk's RMS instead of
    3e-6. In double precision throughout (``.double()``) this is the reference for everything that is exported.

    Args:
        policy: See :class:`SteeredPolicy`.
        actor: See :class:`SteeredPolicy`.
        residual_scale: See :class:`SteeredPolicy`.
        for_onnx_runtime: Whether only operators are used that ONNX Runtime has on a CPU: in double precision it has no
            error function, so the GELU does without, and other activations are single precision.
    """

    def __init__(
        self,
        policy: FlowPolicy,
        actor: nn.Module | None,
        residual_scale: float,
        for_onnx_runtime: bool = False,
    ) -> None:
        super().__init__(policy, actor, residual_scale)
        policy = copy.deepcopy(policy).cpu().eval().requires_grad_(False)
        self.flow = HoistedPolicy(policy)
        self.obs_normalizer = policy.obs_normalizer.double()
        self.embedding = policy.embedding.double()
        self.bottleneck = policy.bottleneck.double()
        if for_onnx_runtime:
            for module in (self.embedding, self.bottleneck, self.actor):
                if module is not None:
                    _replace_activations(module)
        # Of the copy that the flow holds, only what follows the condition runs.
        del self.flow.policy.embedding, self.flow.policy.bottleneck, self.flow.policy.obs_normalizer

    def latent(self, obs: Tensor) -> Tensor:
        """See :meth:`SteeredPolicy.latent`."""
        return self._latent(obs.double()).to(obs.dtype)

    def plan(self, obs: Tensor, actor: nn.Module | None) -> Tensor:
        """See :meth:`SteeredPolicy.plan`."""
        double = obs.double()
        latent = self._latent(double)
        if actor is not None:
            latent = latent + self.residual(double, latent, actor)
        return self.flow.integrate(self.bottleneck.decode(latent).to(obs.dtype), self.start(obs))

    def _latent(self, obs: Tensor) -> Tensor:
        mean, _ = self.bottleneck.encoder(self.embedding(self.obs_normalizer(obs))).chunk(2, dim=-1)
        return mean


class NativeSteeredPolicy(SteeredPolicy):
    """:class:`SteeredPolicy` on this project's operators: call by call, and so bit by bit, what evaluation runs.

    Args:
        policy: See :class:`SteeredPolicy`.
        actor: See :class:`SteeredPolicy`.
        residual_scale: See :class:`SteeredPolicy`.
        dtype: Type of the velocity field's weights, "float32" or "bfloat16".

    Raises:
        ZprlError: If the native library does not load or refuses the policy.
    """

    blob: Tensor

    def __init__(
        self, policy: FlowPolicy, actor: nn.Module | None, residual_scale: float, dtype: str = "float32"
    ) -> None:
        super().__init__(policy, actor, residual_scale)
        load_torch_library()
        self.register_buffer("blob", pack_policy(policy, dtype))

    def latent(self, obs: Tensor) -> Tensor:
        """See :meth:`SteeredPolicy.latent`."""
        return torch.ops.zprl.encode(obs, self.blob, self.latent_dim)[0]

    def plan(self, obs: Tensor, actor: nn.Module | None) -> Tensor:
        """See :meth:`SteeredPolicy.plan`."""
        if actor is None:
            residual = obs.new_zeros(obs.shape[0], self.latent_dim)
        else:
            residual = self.residual(obs, self.latent(obs), actor)
        return torch.ops.zprl.policy_step(obs, residual, self.start(obs), self.blob)


class TorchSteeredPolicy(SteeredPolicy):
    """:class:`SteeredPolicy` as evaluation runs it where the native operators do not: the torch module itself.

    Args:
        policy: See :class:`SteeredPolicy`.
        actor: See :class:`SteeredPolicy`.
        residual_scale: See :class:`SteeredPolicy`.
    """

    def __init__(self, policy: FlowPolicy, actor: nn.Module | None, residual_scale: float) -> None:
        super().__init__(policy, actor, residual_scale)
        self.policy = copy.deepcopy(policy).cpu().eval().requires_grad_(False)

    def latent(self, obs: Tensor) -> Tensor:
        """See :meth:`SteeredPolicy.latent`."""
        return self.policy.encode(obs)[0]

    def plan(self, obs: Tensor, actor: nn.Module | None) -> Tensor:
        """See :meth:`SteeredPolicy.plan`."""
        residual = None if actor is None else self.residual(obs, self.latent(obs), actor)
        return self.policy.act(obs, residual, self.start(obs))


class _Single(nn.Module):
    """An activation in single precision between layers in double precision."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x.float()).to(x.dtype)


class _GeluOfExponential(nn.Module):
    """GELU without the error function, to 2e-13 in double precision.

    With u = |x|, x Phi(x) = max(x, 0) - u Phi(-u) and Phi(-u) = e^(-u^2 / 2) P(t) for t = 1 / (1 + u / 4): the form of
    Abramowitz and Stegun 7.1.26, with P fitted for the least error of the product.
    """

    COEFFICIENTS = (
        -0.0005648494803709159, 0.1083802976488685, 0.04009763009462031, 0.33771073977359534, -0.5757610727761215,
        1.272960766085462, -1.4923662477099455, 1.3331923632427163, -0.6871940056557264, 0.18373899287371387,
        -0.020194614093270502,
    )  # fmt: skip
    """Of P, of the powers of t from 0 on."""

    def forward(self, x: Tensor) -> Tensor:
        u = x.abs()
        t = 1.0 / (1.0 + 0.25 * u)
        p = torch.zeros_like(t)
        for coefficient in self.COEFFICIENTS[::-1]:
            p = p * t + coefficient
        return x.relu() - u * torch.exp(-0.5 * u * u) * p


def _replace_activations(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.GELU) and child.approximate == "none":
            setattr(module, name, _GeluOfExponential())
        elif type(child).__module__ == "torch.nn.modules.activation":
            setattr(module, name, _Single(child))
        else:
            _replace_activations(child)


def actor_network(checkpoint: SteeringCheckpoint) -> nn.Module:
    """Rebuild the network of a checkpoint's actor, which maps [obs, z] to u; see :func:`zprl.rl.actor.load_actor`.

    Args:
        checkpoint: The checkpoint.

    Raises:
        ZprlError: If the actor sees anything else, or its weights do not fit.
    """
    from zprl.rl.actor import make_actor

    groups = list(checkpoint.settings["agent"]["obs_groups"]["actor"])
    if groups != ["policy", "latent"]:
        raise ZprlError(
            f"the actor in {checkpoint.path} sees the groups {', '.join(groups)}; only one that sees policy, latent "
            "can be exported."
        )
    return make_actor(checkpoint).as_jit()
