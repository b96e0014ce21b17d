# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policy step as a compiled operator, and the choice between it and the torch module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from zprl.errors import ZprlError
from zprl.native import load_torch_library

from . import flow_matching
from .embedding import ObservationEmbedding
from .flow_policy import FlowPolicy
from .flow_policy_cfg import SOLVER_NAMES
from .velocity_field import ResidualMLPVelocityField

# Format of the blob. csrc/core/policy_blob.h describes it; change both together.
_MAGIC = 0x4C52505A
_VERSION = 1
_HEADER_INTS = 64
_MAX_HIDDEN_LAYERS = 8
_EMBED_HIDDEN_FIELD = 16
_VIB_HIDDEN_FIELD = _EMBED_HIDDEN_FIELD + _MAX_HIDDEN_LAYERS


class PolicyStep(Protocol):
    """A policy step for acting, whatever runs it."""

    backend: str
    """Name of what runs it: "native" or "torch"."""

    policy: FlowPolicy
    """The policy that runs."""

    def act(self, obs: Tensor, residual: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`FlowPolicy.act`."""
        ...

    def encode(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`FlowPolicy.encode`. No gradients are recorded."""
        ...


class TorchPolicyStep:
    """The torch module as a policy step. It follows the module's device, precision and later weight changes.

    Args:
        policy: Policy to run.
    """

    backend = "torch"

    def __init__(self, policy: FlowPolicy) -> None:
        self.policy = policy

    def act(self, obs: Tensor, residual: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`FlowPolicy.act`."""
        return self.policy.act(obs, residual, noise)

    @torch.no_grad()
    def encode(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`FlowPolicy.encode`. No gradients are recorded."""
        return self.policy.encode(obs)


class NativePolicyStep:
    """The compiled policy step, in single precision on the CPU. It holds a copy of the weights as they are now.

    Args:
        policy: Policy to run.

    Raises:
        ZprlError: If the native library does not load, or the policy is one that :func:`pack_policy` refuses.
    """

    backend = "native"

    def __init__(self, policy: FlowPolicy) -> None:
        load_torch_library()
        self.policy = policy
        self.blob = pack_policy(policy)
        """The packed policy: the last argument of ``torch.ops.zprl.policy_step`` and all that a robot needs."""

    @torch.no_grad()
    def act(self, obs: Tensor, residual: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`FlowPolicy.act`."""
        if residual is None:
            residual = obs.new_zeros(obs.shape[0], self.policy.cfg.latent_dim)
        if noise is None:
            noise = self.policy.sample_noise(obs.shape[0]).to("cpu", torch.float32)
        return torch.ops.zprl.policy_step(obs, residual, noise, self.blob)

    @torch.no_grad()
    def encode(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`FlowPolicy.encode`. No gradients are recorded."""
        return torch.ops.zprl.encode(obs, self.blob, self.policy.cfg.latent_dim)


def make_policy_step(policy: FlowPolicy, backend: str | None = None) -> PolicyStep:
    """Choose what runs the policy step.

    Args:
        policy: Policy to run.
        backend: "native", "torch", or None for the native one if it can be had. In that case one line on stderr says
            why it cannot.

    Returns:
        An object with ``act``, ``encode`` and the name ``backend``.

    Raises:
        ZprlError: If the backend is unknown, or "native" was asked for and cannot be had.
    """
    if backend == "torch":
        return TorchPolicyStep(policy)
    if backend == "native":
        return NativePolicyStep(policy)
    if backend is not None:
        raise ZprlError(f"unknown policy backend {backend!r}; choose 'native' or 'torch'.")
    try:
        return NativePolicyStep(policy)
    except ZprlError as error:
        print(f"warning: the policy runs on torch, not on the native backend: {error}", file=sys.stderr, flush=True)
        return TorchPolicyStep(policy)


def make_policy_step_on(policy: FlowPolicy, device: str | torch.device) -> PolicyStep:
    """Choose what runs the policy step on a device: the policy's own ``backend``, or torch where that does not exist.

    Args:
        policy: Policy to run, on that device.
        device: Device of the observations. The native step runs on the CPU only; one line on stderr says so.

    Raises:
        ZprlError: See :func:`make_policy_step`.
    """
    backend = policy.cfg.backend
    if backend == "native" and torch.device(device).type != "cpu":
        print(f"the native policy step runs on the CPU only; on {device} the policy runs on torch", file=sys.stderr)
        backend = "torch"
    return make_policy_step(policy, backend)


@torch.no_grad()
def pack_policy(policy: FlowPolicy) -> Tensor:
    """Pack a policy into the blob that the native libraries read.

    Args:
        policy: Policy on any device.

    Returns:
        The blob: a one-dimensional uint8 tensor on the CPU.

    Raises:
        ZprlError: If the policy has an embedding or a velocity field of its own, too many hidden layers, or weights
            that are not finite.
    """
    cfg = policy.cfg
    embedding = _supported(policy.embedding, ObservationEmbedding)
    field = _supported(policy.velocity_field, ResidualMLPVelocityField)
    if max(len(cfg.embed_hidden_dims), len(cfg.vib_hidden_dims)) > _MAX_HIDDEN_LAYERS:
        raise ZprlError(f"the native backend takes at most {_MAX_HIDDEN_LAYERS} hidden layers; use the torch backend.")

    payload = torch.cat([piece.reshape(-1).to("cpu", torch.float32) for piece in _payload(policy, embedding, field)])
    limits = 2 * policy.action_dim  # they come last and may be infinite
    if not torch.isfinite(payload[:-limits]).all() or torch.isnan(payload[-limits:]).any():
        raise ZprlError("the policy has weights that are not finite numbers; train it again or load another file.")

    header = torch.zeros(_HEADER_INTS, dtype=torch.int32)
    sizes = [policy.obs_dim, policy.action_dim, cfg.horizon, cfg.embed_dim, cfg.latent_dim, cfg.num_flow_steps]
    sizes += [SOLVER_NAMES.index(cfg.solver), cfg.velocity_hidden_dim, cfg.velocity_num_blocks]
    sizes += [len(cfg.embed_hidden_dims), len(cfg.vib_hidden_dims)]
    for start, values in (
        (0, [_MAGIC, _VERSION, payload.numel(), *sizes]),
        (_EMBED_HIDDEN_FIELD, cfg.embed_hidden_dims),
        (_VIB_HIDDEN_FIELD, cfg.vib_hidden_dims),
    ):
        header[start : start + len(values)] = torch.tensor(list(values), dtype=torch.int32)
    return torch.cat([header.view(torch.uint8), payload.view(torch.uint8)])


def _supported[M: nn.Module](module: nn.Module, supported: type[M]) -> M:
    """Return a module of exactly the given class: a subclass may compute something else."""
    if type(module) is not supported:
        raise ZprlError(
            f"the native backend runs {supported.__name__} only, and the policy has a {type(module).__name__}; "
            "use the torch backend."
        )
    return module


def _payload(policy: FlowPolicy, embedding: ObservationEmbedding, field: ResidualMLPVelocityField) -> Iterator[Tensor]:
    """Pieces of the payload, in the order of csrc/core/policy_blob.h."""
    yield from (policy.obs_normalizer.mean, policy.obs_normalizer.std)
    for mlp in (embedding.mlp, policy.bottleneck.encoder, policy.bottleneck.decoder):
        yield from _linear_layers(mlp)
    yield from _linear_layers(field.condition_modulation)
    yield from _linear_layers(field.input)
    times = flow_matching.evaluation_times(flow_matching.SOLVERS[policy.cfg.solver], policy.cfg.num_flow_steps)
    # A table of rounded times would shift all of a chunk's evaluations: build it in double precision, and round once.
    yield _double_time_tables(field, times)
    yield from _linear_layers(field.blocks)
    yield from _linear_layers(field.output)
    yield from (policy.action_normalizer.mean, policy.action_normalizer.std, policy.action_low, policy.action_high)


def _double_time_tables(field: ResidualMLPVelocityField, times: list[float]) -> Tensor:
    weights = {name: value.double().cpu() for name, value in field.time_mlp.state_dict().items()}
    features = flow_matching.time_features(torch.tensor(times, dtype=torch.float64), field.time_embed_dim)
    return torch.func.functional_call(field.time_mlp, weights, (features,))


def _linear_layers(module: nn.Module) -> Iterator[Tensor]:
    """Weight, stored as [in][out], and bias of each linear layer of a module, in order."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            yield from (layer.weight.t(), layer.bias)
