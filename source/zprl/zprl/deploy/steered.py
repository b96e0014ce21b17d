# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The steered policy as one module, from raw observation to action chunk, in the forms that are exported or compared.

::

    observations -> encoder -> e -> z -------------------+-> decoder -> flow from the initial noise -> chunk
           observations, e, z -> actor -> u -> clamp -> lambda *       (the actor of SAC ends in a tanh)
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zprl.policies import FlowPolicy
from zprl.policies.flow.hoisted import HoistedPolicy
from zprl.policies.native.blob import pack_policy
from zprl.policies.native.library import load_torch_library
from zprl.spec import Observations
from zprl.steering import PLAN_FEATURES
from zprl.utils.errors import ZprlError

LATENT, EMBEDDING = PLAN_FEATURES
"""Names under which an actor sees the latent and the embedding."""


class SteeredPolicy(nn.Module):
    """Base policy, actor and steering in one module whose only inputs are the observations, one tensor per group.

    Exporters trace three methods: :meth:`forward`, :meth:`base` and :meth:`latent`.

    Args:
        policy: The base policy. Its ``initial_noise`` must draw nothing.
        actor: The learner's network on what it sees side by side, its output not clamped; None for the base policy
            alone.
        residual_scale: Lambda [dimensionless].
        groups: Observation groups in the order of the inputs; those of the base policy if there are none.
        seen: What the actor sees, in order: groups, :data:`EMBEDDING` and :data:`LATENT`; all state groups and the
            latent if nothing.
        dtype: Type of the velocity field's weights in the native form, "float32" or "bfloat16".

    Raises:
        ZprlError: If the initial noise is sampled, or there is an actor and no latent.
    """

    noise: Tensor

    rounds_to: torch.dtype
    """Type to which the actor's output, and what it sees of the latent, are rounded."""

    def __init__(
        self,
        policy: FlowPolicy,
        actor: nn.Module | None,
        residual_scale: float,
        groups: Sequence[str] = (),
        seen: Sequence[str] = (),
        dtype: str = "float32",
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
        self.groups = tuple(groups) or tuple(policy.cfg.observation_groups)
        self.seen = tuple(seen) or (*(g for g in self.groups if g not in policy.image_shapes), LATENT)
        self.residual_scale = residual_scale
        self.actor = None if actor is None else copy.deepcopy(actor).cpu().double().eval().requires_grad_(False)
        self.register_buffer("noise", policy.sample_noise(1).detach().cpu().clone())
        self.hold(policy, dtype)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Action chunk (N, H, A), in the task's units, of raw observations, (N, D) or of an image (N, ...) each."""
        return self._act(inputs, self.actor)

    def base(self, *inputs: Tensor) -> Tensor:
        """What the frozen base policy does: the chunk (N, H, A) without the actor."""
        return self._act(inputs, None)

    def latent(self, *inputs: Tensor) -> Tensor:
        """Mean z of the latent (N, L) of raw observations; L is 0 for a policy without one."""
        if not self.has_latent:
            return self.noise.new_zeros(inputs[0].shape[0], 0)
        return self.encode(dict(zip(self.groups, inputs, strict=True)))[LATENT].to(self.noise.dtype)

    @abstractmethod
    def hold(self, policy: FlowPolicy, dtype: str) -> None:
        """Keep what is needed of a base policy, which others use too."""

    @abstractmethod
    def encode(self, obs: Observations) -> dict[str, Tensor]:
        """Encode observations, in the precision that acting goes on with.

        Returns:
            :data:`LATENT`, the mean z (N, L), or without one the embedding, and in a portable form :data:`EMBEDDING`.
        """

    @abstractmethod
    def generate(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Chunk (N, H, A) of the latent that :meth:`encode` returned, from the initial noise (N, H, A)."""

    def _act(self, inputs: tuple[Tensor, ...], actor: nn.Module | None) -> Tensor:
        obs = dict(zip(self.groups, inputs, strict=True))
        encoded = self.encode(obs)
        latent = encoded[LATENT]
        if actor is not None:
            # In double precision, as in zprl.rl.actor.row_by_row; then as zprl.steering.LatentResidual does.
            seen = {**obs, **{name: value.to(self.rounds_to) for name, value in encoded.items()}}
            u = actor(torch.cat([seen[name].double() for name in self.seen], dim=-1)).to(self.rounds_to)
            latent = latent + (self.residual_scale * u.clamp(-1.0, 1.0)).to(latent.dtype)
        return self.generate(latent, self.noise.expand(inputs[0].shape[0], -1, -1))


class PortableSteeredPolicy(SteeredPolicy):
    """:class:`SteeredPolicy` in operators that every PyTorch has.

    What leads to the condition of the flow is computed in double precision: it is a tenth of the arithmetic, and a
    trained flow enlarges its rounding a hundredfold, which in single precision ends at 3e-5 of a chunk's RMS instead of
    3e-6. In double precision throughout (``.double()``) this is the reference for everything that is exported.
    """

    rounds_to = torch.float64

    def hold(self, policy: FlowPolicy, dtype: str) -> None:
        """See :meth:`SteeredPolicy.hold`."""
        policy = copy.deepcopy(policy).cpu().eval().requires_grad_(False)
        self.flow = HoistedPolicy(policy)
        # Of the copy that the flow holds, only what follows the condition runs, and of this one what leads to it.
        del self.flow.policy.embedding, self.flow.policy.bottleneck, self.flow.policy.obs_normalizer
        del policy.velocity_field
        self.encoder = policy.double()

    def encode(self, obs: Observations) -> dict[str, Tensor]:
        """See :meth:`SteeredPolicy.encode`."""
        exact = {name: value.double() if value.is_floating_point() else value for name, value in obs.items()}
        embedding = self.encoder.embed(self.encoder.inputs(exact))
        latent = self.encoder.bottleneck.encoder(embedding).chunk(2, dim=-1)[0] if self.has_latent else embedding
        return {EMBEDDING: embedding, LATENT: latent}

    def generate(self, latent: Tensor, noise: Tensor) -> Tensor:
        """See :meth:`SteeredPolicy.generate`."""
        condition = self.encoder.decode(latent) if self.has_latent else latent
        return self.flow.integrate(condition.to(self.noise.dtype), noise)


class NativeSteeredPolicy(SteeredPolicy):
    """:class:`SteeredPolicy` on this project's operators: call by call, and so bit by bit, what evaluation runs.

    Raises:
        ZprlError: If the native library does not load or refuses the policy, or it sees images.
    """

    blob: Tensor
    rounds_to = torch.float32

    def hold(self, policy: FlowPolicy, dtype: str) -> None:
        """See :meth:`SteeredPolicy.hold`."""
        load_torch_library()
        self.observed, self.latent_dim = tuple(policy.cfg.observation_groups), policy.cfg.latent_dim
        self.register_buffer("blob", pack_policy(policy, dtype))

    def encode(self, obs: Observations) -> dict[str, Tensor]:
        """See :meth:`SteeredPolicy.encode`."""
        states = [obs[name] for name in self.observed]
        state = states[0] if len(states) == 1 else torch.cat(states, dim=-1)
        return {LATENT: torch.ops.zprl.latent(state, self.blob, self.latent_dim)}

    def generate(self, latent: Tensor, noise: Tensor) -> Tensor:
        """See :meth:`SteeredPolicy.generate`."""
        return torch.ops.zprl.act(latent, noise, self.blob)
