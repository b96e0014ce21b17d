# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The steered policy as one module, from raw observation to action chunk, in the forms that are exported or compared.

::

    observations -> encoder -> z ------------------------+-> decoder -> flow from the initial noise -> chunk
              observations, z -> actor -> u -> clamp -> lambda *       (the actor of SAC ends in a tanh)
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from zprl.policies import FlowPolicy
from zprl.policies.flow.hoisted import HoistedPolicy
from zprl.policies.native.blob import pack_policy
from zprl.policies.native.library import load_torch_library
from zprl.spec import Observations
from zprl.utils.errors import ZprlError

LATENT = "latent"
"""Name under which an actor sees the latent."""


class SteeredPolicy(nn.Module):
    """Base policy, actor and steering in one module whose only inputs are the observations, one tensor per group.

    Exporters trace three methods: :meth:`forward`, :meth:`base` and :meth:`latent`.

    Args:
        policy: The base policy. Its ``initial_noise`` must draw nothing.
        actor: The learner's network on what it sees side by side, its output not clamped; None for the base policy
            alone.
        residual_scale: Lambda [dimensionless].
        groups: Observation groups in the order of the inputs; those of the base policy if None.
        seen: What the actor sees, in order: groups and :data:`LATENT`; all state groups and the latent if None.

    Raises:
        ZprlError: If the initial noise is sampled, or there is an actor and no latent.
    """

    noise: Tensor

    def __init__(
        self,
        policy: FlowPolicy,
        actor: nn.Module | None,
        residual_scale: float,
        groups: Sequence[str] | None = None,
        seen: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if policy.cfg.initial_noise == "sampled":
            raise ZprlError(
                "a policy that samples its initial noise cannot be exported, as nobody could check what it does; "
                "export it with policy.initial_noise=zero or policy.initial_noise=fixed."
            )
        self.has_latent = policy.bottleneck is not None
        if actor is not None and not self.has_latent:
            raise ZprlError("the policy has no latent that an actor could steer; export its base policy.")
        self.groups = tuple(policy.cfg.observation_groups if groups is None else groups)
        self.seen = (*(g for g in self.groups if g not in policy.image_shapes), LATENT) if seen is None else tuple(seen)
        self.latent_dim = policy.cfg.latent_dim if self.has_latent else 0
        self.residual_scale = residual_scale if actor is not None else 0.0
        self.actor = None if actor is None else copy.deepcopy(actor).cpu().double().eval().requires_grad_(False)
        self.register_buffer("noise", policy.sample_noise(1).detach().cpu().clone())

    def forward(self, *inputs: Tensor) -> Tensor:
        """Action chunk (N, H, A), in the task's units, of raw observations, (N, D) or of an image (N, ...) each."""
        return self.plan(dict(zip(self.groups, inputs, strict=True)), self.actor)

    def base(self, *inputs: Tensor) -> Tensor:
        """What the frozen base policy does: the chunk (N, H, A) without the actor."""
        return self.plan(dict(zip(self.groups, inputs, strict=True)), None)

    def latent(self, *inputs: Tensor) -> Tensor:
        """Mean z of the latent (N, L) of raw observations; L is 0 for a policy without one."""
        if not self.has_latent:
            return self.noise.new_zeros(inputs[0].shape[0], 0)
        return self.encode(dict(zip(self.groups, inputs, strict=True))).to(self.noise.dtype)

    @abstractmethod
    def encode(self, obs: Observations) -> Tensor:
        """Mean z of the latent (N, L), in the precision that acting goes on with."""

    @abstractmethod
    def plan(self, obs: Observations, actor: nn.Module | None) -> Tensor:
        """Chunk (N, H, A) of raw observations, steered by the actor if there is one."""

    def steered(self, obs: Observations, latent: Tensor, actor: nn.Module, dtype: torch.dtype) -> Tensor:
        """Latent z' (N, L); see :class:`zprl.steering.LatentResidual`.

        The actor computes in double precision, as in :func:`zprl.rl.actor.row_by_row`; what it sees of the latent and
        its output are rounded to ``dtype``.
        """
        seen = {**obs, LATENT: latent.to(dtype)}
        u = actor(torch.cat([seen[name].double() for name in self.seen], dim=-1)).to(dtype)
        return latent + (self.residual_scale * u.clamp(-1.0, 1.0)).to(latent.dtype)

    def start(self, obs: Observations) -> Tensor:
        """Initial noise (N, H, A)."""
        return self.noise.expand(next(iter(obs.values())).shape[0], -1, -1)


class PortableSteeredPolicy(SteeredPolicy):
    """:class:`SteeredPolicy` in operators that every PyTorch has.

    What leads to the condition of the flow is computed in double precision: it is a tenth of the arithmetic, and a
    trained flow enlarges its rounding a hundredfold, which in single precision ends at 3e-5 of a chunk's RMS instead of
    3e-6. In double precision throughout (``.double()``) this is the reference for everything that is exported.

    Args:
        policy: See :class:`SteeredPolicy`.
        actor: See :class:`SteeredPolicy`.
        residual_scale: See :class:`SteeredPolicy`.
        groups: See :class:`SteeredPolicy`.
        seen: See :class:`SteeredPolicy`.
        for_onnx_runtime: Whether only operators are used that ONNX Runtime has on a CPU: in double precision it has no
            error function and no convolution, so GELU and convolutions do without, and other activations are single
            precision.
    """

    def __init__(
        self,
        policy: FlowPolicy,
        actor: nn.Module | None,
        residual_scale: float,
        groups: Sequence[str] | None = None,
        seen: Sequence[str] | None = None,
        for_onnx_runtime: bool = False,
    ) -> None:
        super().__init__(policy, actor, residual_scale, groups, seen)
        policy = copy.deepcopy(policy).cpu().eval().requires_grad_(False)
        self.flow = HoistedPolicy(policy)
        # Of the copy that the flow holds, only what follows the condition runs, and of this one what leads to it.
        del self.flow.policy.embedding, self.flow.policy.bottleneck, self.flow.policy.obs_normalizer
        del policy.velocity_field
        self.encoder = policy.double()
        if for_onnx_runtime:
            for module in (self.encoder, self.actor):
                if module is not None:
                    _replace_missing(module)

    def encode(self, obs: Observations) -> Tensor:
        """See :meth:`SteeredPolicy.encode`."""
        mean, _ = self.encoder.bottleneck.encoder(self._embed(obs)).chunk(2, dim=-1)
        return mean

    def plan(self, obs: Observations, actor: nn.Module | None) -> Tensor:
        """See :meth:`SteeredPolicy.plan`."""
        if self.has_latent:
            latent = self.encode(obs)
            condition = self.encoder.decode(
                latent if actor is None else self.steered(obs, latent, actor, torch.float64)
            )
        else:
            condition = self._embed(obs)
        return self.flow.integrate(condition.to(self.noise.dtype), self.start(obs))

    def _embed(self, obs: Observations) -> Tensor:
        return self.encoder.embed(
            self.encoder.inputs({k: v.double() if v.is_floating_point() else v for k, v in obs.items()})
        )


class NativeSteeredPolicy(SteeredPolicy):
    """:class:`SteeredPolicy` on this project's operators: call by call, and so bit by bit, what evaluation runs.

    Args:
        policy: See :class:`SteeredPolicy`.
        actor: See :class:`SteeredPolicy`.
        residual_scale: See :class:`SteeredPolicy`.
        groups: See :class:`SteeredPolicy`.
        seen: See :class:`SteeredPolicy`.
        dtype: Type of the velocity field's weights, "float32" or "bfloat16".

    Raises:
        ZprlError: If the native library does not load or refuses the policy, or it sees images.
    """

    blob: Tensor

    def __init__(
        self,
        policy: FlowPolicy,
        actor: nn.Module | None,
        residual_scale: float,
        groups: Sequence[str] | None = None,
        seen: Sequence[str] | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(policy, actor, residual_scale, groups, seen)
        load_torch_library()
        self.observed = tuple(policy.cfg.observation_groups)
        self.register_buffer("blob", pack_policy(policy, dtype))

    def encode(self, obs: Observations) -> Tensor:
        """See :meth:`SteeredPolicy.encode`."""
        state = [obs[name] for name in self.observed]
        return torch.ops.zprl.latent(
            state[0] if len(state) == 1 else torch.cat(state, dim=-1), self.blob, self.latent_dim
        )

    def plan(self, obs: Observations, actor: nn.Module | None) -> Tensor:
        """See :meth:`SteeredPolicy.plan`."""
        latent = self.encode(obs)
        return torch.ops.zprl.act(
            latent if actor is None else self.steered(obs, latent, actor, torch.float32), self.start(obs), self.blob
        )


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


class _UnfoldedConvolution(nn.Module):
    """A convolution in one group over zero padding as a matrix product, in any precision."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        c = self.convolution
        kernel, padding, stride, dilation = c.kernel_size, c.padding, c.stride, c.dilation
        assert not isinstance(padding, str)
        columns = functional.unfold(x, kernel, dilation, padding, stride)  # type: ignore[arg-type]
        y = c.weight.flatten(1) @ columns
        if c.bias is not None:
            y = y + c.bias[:, None]
        sizes = (
            (x.shape[i + 2] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2)
        )
        return y.unflatten(2, tuple(sizes))


def _replace_missing(module: nn.Module) -> None:
    """Replace what ONNX Runtime does not have in double precision."""
    for name, child in module.named_children():
        if isinstance(child, nn.GELU) and child.approximate == "none":
            setattr(module, name, _GeluOfExponential())
        elif isinstance(child, nn.Conv2d):
            if child.groups != 1 or child.padding_mode != "zeros" or isinstance(child.padding, str):
                raise ZprlError(
                    "the format onnx takes convolutions of one group over zero padding alone; leave onnx out of "
                    "--format."
                )
            setattr(module, name, _UnfoldedConvolution(child))
        elif type(child).__module__ == "torch.nn.modules.activation":
            setattr(module, name, _Single(child))
        else:
            _replace_missing(child)
