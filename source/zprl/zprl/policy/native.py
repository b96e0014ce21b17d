# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policy step as a compiled operator, and the choice between it and the torch module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from zprl.errors import ZprlError
from zprl.native import cpu_level, load_torch_library, multiplies_bfloat16

from . import flow_matching
from .embedding import ObservationEmbedding
from .flow_policy import FlowPolicy
from .flow_policy_cfg import BACKEND_NAMES, SOLVER_NAMES
from .velocity_field import ResidualMLPVelocityField

# Format of the blob. csrc/core/policy_blob.h describes it; change both together.
_MAGIC = 0x4C52505A
_VERSION = 4
_HEADER_INTS = 64
_PANEL = 64
_ALIGNMENT = 64
_MAX_HIDDEN_LAYERS = 8
_EMBED_HIDDEN_FIELD = 16
_VIB_HIDDEN_FIELD = _EMBED_HIDDEN_FIELD + _MAX_HIDDEN_LAYERS
_ACTOR_FIELD = _VIB_HIDDEN_FIELD + _MAX_HIDDEN_LAYERS

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ELU, nn.ReLU, nn.Tanh, nn.SiLU, nn.GELU)
"""Activations of an actor that the native libraries know, in the order of the blob's header."""

OUTPUTS = ("clamp", "tanh")
"""Ways to bound an actor's output to [-1, 1] that the native libraries know, in the order of the blob's header."""


class PolicyStep(Protocol):
    """A policy step for acting, whatever runs it."""

    backend: str
    """Name of what runs it: "native", "native_tf32", "native_bf16" or "torch"."""

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


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Types of packed weights, in the order of the blob's header."""

PRECISIONS = {"float32": "native", "tf32": "native_tf32", "bfloat16": "native_bf16"}
"""Names of the native backends by the precision of their products."""

_OPERATOR_ERRORS = (ValueError, RuntimeError, AssertionError)
"""Of our operators, and of torch on a CUDA device (which asserts that it was built with CUDA)."""


class NativePolicyStep:
    """The compiled policy step on the CPU or on a CUDA device. It holds a copy of the weights as they are now.

    On a CUDA device calls return before the GPU has finished, as torch's own do, and can be captured in a CUDA graph.

    Args:
        policy: Policy to run.
        precision: Of the velocity field's products: "float32", "bfloat16", or on a CUDA device "tf32" (operands with
            the range of float32 and 10 bits of mantissa). What lies between its layers is single precision. The
            embedding and the bottleneck, which run once per chunk, are double precision on the CPU and single on GPUs.
        device: Where it runs and its arguments are; the policy's own device if None.

    Raises:
        ZprlError: If the native library does not load, the policy is one that :func:`pack_policy` refuses, this
            processor cannot multiply the precision, or the library or the GPU cannot run the policy on this device.
    """

    def __init__(
        self, policy: FlowPolicy, precision: str = "float32", device: str | torch.device | None = None
    ) -> None:
        load_torch_library()
        if precision not in PRECISIONS:
            raise ZprlError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
        self.policy = policy
        self.backend = PRECISIONS[precision]
        self.device = policy.fixed_noise.device if device is None else torch.device(device)
        """Where it runs."""
        if self.device.type == "cuda":
            self.blob, self.header = _pack_on_cuda(policy, precision, self.device)
            self._try_out()
            return
        if self.device.type != "cpu":
            raise ZprlError(f"the native policy step runs on the CPU and on CUDA devices, not on '{self.device}'.")
        if precision == "tf32":
            raise ZprlError("tf32 products exist on GPUs only; choose float32 or bfloat16 on the CPU.")
        self.blob = pack_policy(policy, precision)
        """The packed policy: the argument ``blob`` of ``torch.ops.zprl.policy_step`` and all that a robot needs."""
        self.header: list[int] = []
        """The argument ``header``: the first 64 numbers of a blob on a CUDA device; empty on the CPU."""
        if precision == "bfloat16" and not multiplies_bfloat16():
            raise ZprlError(f"this processor ({cpu_level()}) does not multiply bfloat16; use float32 weights.")

    def _try_out(self) -> None:
        """Run once, and wait: what the GPU has to say against the policy is better heard now than in a rollout."""
        try:
            self.act(torch.zeros(1, self.policy.obs_dim, device=self.device))
            torch.cuda.synchronize(self.device)
        except _OPERATOR_ERRORS as error:
            raise ZprlError(f"the native policy step does not run on {self.device}: {_sentence(error)}") from error

    @torch.no_grad()
    def act(self, obs: Tensor, residual: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`FlowPolicy.act`."""
        return torch.ops.zprl.policy_step(*self._inputs(obs, residual, noise), self.blob, self.header)

    @torch.no_grad()
    def act_sampled(
        self, obs: Tensor, latent_seed: Tensor, residual: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """:meth:`act` on a sample of the latent instead of its mean.

        Args:
            obs: Raw observations (N, obs_dim).
            latent_seed: Seed of each row's sample (N,), int64. A row's sample depends on its seed alone.
            residual: What to add to the sample (N, latent_dim); zero if None.
            noise: Start of the flow (N, H, A); :meth:`FlowPolicy.sample_noise` if None.

        Returns:
            Raw action chunk (N, H, A), within the action limits.
        """
        inputs = self._inputs(obs, residual, noise)
        return torch.ops.zprl.sampled_policy_step(*inputs, latent_seed, self.blob, self.header)

    @torch.no_grad()
    def integrate(self, condition: Tensor, noise: Tensor) -> Tensor:
        """See :meth:`FlowPolicy.integrate`. No gradients are recorded."""
        return torch.ops.zprl.integrate(condition, noise, self.blob, self.header)

    def _inputs(self, obs: Tensor, residual: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if residual is None:
            residual = obs.new_zeros(obs.shape[0], self.policy.cfg.latent_dim)
        if noise is None:
            noise = self.policy.sample_noise(obs.shape[0]).to(self.device, torch.float32, non_blocking=True)
        return obs, residual, noise

    @torch.no_grad()
    def encode(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`FlowPolicy.encode`. No gradients are recorded."""
        return torch.ops.zprl.encode(obs, self.blob, self.policy.cfg.latent_dim, self.header)


def _pack_on_cuda(policy: FlowPolicy, precision: str, device: torch.device) -> tuple[Tensor, list[int]]:
    """Return the blob on a CUDA device and its header on the host."""
    # From single precision always: the GPU's packing rounds by itself.
    packed = pack_policy(policy, "float32")
    try:
        blob = torch.ops.zprl.pack_for_cuda(packed, precision)
        header = blob[: 4 * _HEADER_INTS].view(torch.int32).tolist()
        return blob.to(device), header
    except _OPERATOR_ERRORS as error:
        raise ZprlError(f"the native policy step does not run on {device}: {_sentence(error)}") from error


def _sentence(error: BaseException) -> str:
    """First line of an error, which in those of the operators says it all."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].removeprefix("zprl: ") if lines else type(error).__name__


def make_policy_step(
    policy: FlowPolicy, backend: str | None = None, device: str | torch.device | None = None
) -> PolicyStep:
    """Choose what runs the policy step.

    Args:
        policy: Policy to run.
        backend: "native", "native_tf32" (on a CUDA device), "native_bf16", "torch", or None for the native one if it
            can be had. In that case one line on stderr says why it cannot.
        device: Where the native step runs; the policy's own device if None.

    Returns:
        An object with ``act``, ``encode`` and the name ``backend``.

    Raises:
        ZprlError: If the backend is unknown, or a native one was asked for and cannot be had.
    """
    if backend is None:
        return _native_or_torch(policy, "native", device)
    if backend not in BACKEND_NAMES:
        raise ZprlError(f"unknown policy backend {backend!r}; choose one of {', '.join(BACKEND_NAMES)}.")
    if backend == "torch":
        return TorchPolicyStep(policy)
    precision = next(precision for precision, name in PRECISIONS.items() if name == backend)
    return NativePolicyStep(policy, precision, device)


def make_policy_step_on(policy: FlowPolicy, device: str | torch.device) -> PolicyStep:
    """Choose what runs the policy step on a device: the policy's own ``backend``, or torch where that cannot run.

    Args:
        policy: Policy to run, on that device.
        device: Device of the observations. Where the native step cannot run, one line on stderr says why.
    """
    if policy.cfg.backend == "torch":
        return TorchPolicyStep(policy)
    return _native_or_torch(policy, policy.cfg.backend, device)


def _native_or_torch(policy: FlowPolicy, backend: str, device: str | torch.device | None) -> PolicyStep:
    try:
        return make_policy_step(policy, backend, device)
    except ZprlError as error:
        print(f"warning: the policy runs on torch, not on the native backend: {error}", file=sys.stderr, flush=True)
        return TorchPolicyStep(policy)


@dataclass(frozen=True)
class PackedActor:
    """What reinforcement learning trained, as the blob holds it.

    It computes ``residual_scale * bound(mlp(([obs, z] - mean) / divisor))`` from the raw observation and the mean z of
    the latent, where ``bound`` is a clamp to [-1, 1] or the hyperbolic tangent.
    """

    mean: Tensor
    """Mean of the input normaliser (obs_dim + latent_dim,), float32."""

    divisor: Tensor
    """Its divisor (obs_dim + latent_dim,), float32."""

    layers: tuple[nn.Linear, ...]
    """Linear layers, in order."""

    activation: type[nn.Module]
    """Between the layers; one of :data:`ACTIVATIONS`."""

    residual_scale: float
    """Lambda [dimensionless]."""

    output: str = "clamp"
    """How the last layer's output is bounded; one of :data:`OUTPUTS`."""

    @classmethod
    def from_model(cls, actor: nn.Module, residual_scale: float) -> PackedActor:
        """Take an rsl_rl actor apart.

        Args:
            actor: ``MLPModel`` over the observation groups ``policy`` and ``latent``, in this order.
            residual_scale: Lambda, ``LatentResidual.residual_scale``.

        Raises:
            ZprlError: If it is another model, has too many layers, or an activation or a distribution that the native
                libraries do not know.
        """
        from rsl_rl.models import MLPModel
        from rsl_rl.modules import EmpiricalNormalization

        model = _supported(actor, MLPModel, "the native actor")
        if list(model.obs_groups) != ["policy", "latent"]:
            groups = ", ".join(model.obs_groups)
            raise ZprlError(
                f"the native actor sees the groups policy and latent, and this one sees {groups}; use torch."
            )
        output = _output_of(model.distribution)
        *hidden, last = list(model.mlp)
        activations = {type(module) for module in hidden[1::2]}
        modules = (*hidden[::2], last)
        layers = tuple(module for module in modules if type(module) is nn.Linear)
        unknown = sorted(kind.__name__ for kind in activations if kind not in ACTIVATIONS)
        if unknown or len(activations) > 1 or len(layers) != len(modules):
            known = ", ".join(kind.__name__ for kind in ACTIVATIONS)
            name = ", ".join(unknown) or "a mixture of layers"
            raise ZprlError(f"the native actor's activation is one of {known}, and this one has {name}; use torch.")
        if len(layers) - 1 > _MAX_HIDDEN_LAYERS:
            raise ZprlError(f"the native actor takes at most {_MAX_HIDDEN_LAYERS} hidden layers; use torch.")
        if output == "tanh":
            layers = (*layers[:-1], _first_half(layers[-1]))
        normalizer = model.obs_normalizer
        if isinstance(normalizer, EmpiricalNormalization):
            mean, divisor = normalizer.mean.float(), normalizer.std.float() + normalizer.eps
        else:
            mean, divisor = torch.zeros(model.obs_dim), torch.ones(model.obs_dim)
        return cls(mean, divisor, layers, next(iter(activations), nn.ELU), float(residual_scale), output)


def _output_of(distribution: nn.Module | None) -> str:
    """Return which of :data:`OUTPUTS` an actor's deterministic output is, once steering has clamped it."""
    from rsl_rl.modules.distribution import GaussianDistribution

    from zprl.rl.distribution import SquashedGaussian

    # The deterministic output of a Gaussian is the network's; another distribution may transform it.
    if distribution is None or (
        isinstance(distribution, GaussianDistribution)
        and type(distribution).deterministic_output is GaussianDistribution.deterministic_output
    ):
        return "clamp"
    if type(distribution) is SquashedGaussian:
        return "tanh"
    name = type(distribution).__name__
    raise ZprlError(f"the native actor has a Gaussian output, squashed or not, and this one has a {name}; use torch.")


def _first_half(layer: nn.Linear) -> nn.Linear:
    """Leave out the second half of a layer's outputs, which for a squashed Gaussian are its deviations."""
    count = layer.out_features // 2
    half = nn.Linear(layer.in_features, count)
    half.weight, half.bias = nn.Parameter(layer.weight[:count]), nn.Parameter(layer.bias[:count])
    return half


@torch.no_grad()
def pack_policy(policy: FlowPolicy, dtype: str = "float32", actor: PackedActor | None = None) -> Tensor:
    """Pack a policy into the blob that the native libraries read.

    Args:
        policy: Policy on any device.
        dtype: Type of the weights of modulation and velocity field, "float32" or "bfloat16".
        actor: What steers it, :meth:`PackedActor.from_model`. A policy step with such a blob adds the actor's bounded
            output to the latent by itself. None packs the base policy.

    Returns:
        The blob: a one-dimensional uint8 tensor on the CPU.

    Raises:
        ZprlError: If the dtype is unknown, or the policy has an embedding or a velocity field of its own, too many
            hidden layers, or weights that are not finite, or the actor does not fit it.
    """
    if dtype not in DTYPES:
        raise ZprlError(f"unknown weight type {dtype!r}; choose one of {', '.join(DTYPES)}.")
    cfg = policy.cfg
    embedding = _supported(policy.embedding, ObservationEmbedding)
    field = _supported(policy.velocity_field, ResidualMLPVelocityField)
    if max(len(cfg.embed_hidden_dims), len(cfg.vib_hidden_dims)) > _MAX_HIDDEN_LAYERS:
        raise ZprlError(f"the native backend takes at most {_MAX_HIDDEN_LAYERS} hidden layers; use the torch backend.")

    weights = list(_sections(policy, embedding, field, DTYPES[dtype]))
    limits = [policy.action_low.float(), policy.action_high.float()]  # they may be infinite
    steering = [] if actor is None else list(_actor_sections(policy, actor))
    finite = all(torch.isfinite(section).all() for section in weights + steering)
    if not finite or any(torch.isnan(limit).any() for limit in limits):
        raise ZprlError("the policy has weights that are not finite numbers; train it again or load another file.")
    sections = [section.detach().cpu() for section in weights + limits + steering]
    payload = torch.cat([_padded_to(s.contiguous().view(-1).view(torch.uint8), _ALIGNMENT) for s in sections])

    header = torch.zeros(_HEADER_INTS, dtype=torch.int32)
    sizes = [policy.obs_dim, policy.action_dim, cfg.horizon, cfg.embed_dim, cfg.latent_dim, cfg.num_flow_steps]
    sizes += [SOLVER_NAMES.index(cfg.solver), cfg.velocity_hidden_dim, cfg.velocity_num_blocks]
    sizes += [len(cfg.embed_hidden_dims), len(cfg.vib_hidden_dims), list(DTYPES).index(dtype)]
    for start, values in (
        (0, [_MAGIC, _VERSION, 4 * _HEADER_INTS + payload.numel(), *sizes]),
        (_EMBED_HIDDEN_FIELD, cfg.embed_hidden_dims),
        (_VIB_HIDDEN_FIELD, cfg.vib_hidden_dims),
        (_ACTOR_FIELD, [] if actor is None else _actor_header(actor)),
    ):
        header[start : start + len(values)] = torch.tensor(list(values), dtype=torch.int32)
    return torch.cat([header.view(torch.uint8), payload])


def _supported[M: nn.Module](module: nn.Module, supported: type[M], what: str = "the native backend") -> M:
    """Return a module of exactly the given class: a subclass may compute something else."""
    if type(module) is not supported:
        raise ZprlError(
            f"{what} runs {supported.__name__} only, and the policy has a {type(module).__name__}; "
            "use the torch backend."
        )
    return module


def _actor_header(actor: PackedActor) -> list[int]:
    widths = [layer.out_features for layer in actor.layers[:-1]]
    unused = [0] * (_MAX_HIDDEN_LAYERS - len(widths))
    return [1, ACTIVATIONS.index(actor.activation), len(widths), *widths, *unused, OUTPUTS.index(actor.output)]


def _actor_sections(policy: FlowPolicy, actor: PackedActor) -> Iterator[Tensor]:
    obs_dim, latent_dim = policy.obs_dim, policy.cfg.latent_dim
    actual = actor.layers[0].in_features, actor.layers[-1].out_features
    if actual != (obs_dim + latent_dim, latent_dim) or len(actor.mean) != obs_dim + latent_dim:
        raise ZprlError(
            f"the actor maps {actual[0]} numbers to {actual[1]}, and this policy needs one from {obs_dim + latent_dim} "
            f"to {latent_dim}; take the actor that was trained on it."
        )
    yield from (actor.mean.float(), actor.divisor.float(), torch.tensor([actor.residual_scale]))
    for layer in actor.layers:
        yield from _packed(layer.weight, layer.bias, torch.float32)


def _sections(
    policy: FlowPolicy, embedding: ObservationEmbedding, field: ResidualMLPVelocityField, dtype: torch.dtype
) -> Iterator[Tensor]:
    """Sections of the blob up to the action limits, in the order of csrc/core/policy_blob.h."""
    yield from (policy.obs_normalizer.mean.float(), policy.obs_normalizer.std.float())
    for mlp in (embedding.mlp, policy.bottleneck.encoder, policy.bottleneck.decoder):
        yield from _linear_layers(mlp, torch.float32)
    modulation, hidden = field.condition_modulation, field.hidden_dim
    # Its four parts begin at whole panels.
    parts = modulation.weight.view(4, hidden, -1), modulation.bias.view(4, hidden)
    weight, bias = (_padded_to(part, _PANEL, dim=1).flatten(0, 1) for part in parts)
    yield from _packed(weight, bias, dtype)
    yield from _packed(field.input.weight, field.input.bias, dtype)
    times = flow_matching.evaluation_times(flow_matching.SOLVERS[policy.cfg.solver], policy.cfg.num_flow_steps)
    # A table of rounded times would shift all of a chunk's evaluations: build it in double precision, and round once.
    yield _padded_to(_double_time_tables(field, times).float().unflatten(1, (-1, hidden)), _PANEL, dim=2)
    yield from _linear_layers(field.blocks, dtype)
    yield from _packed(field.output.weight, field.output.bias, dtype)
    yield from (policy.action_normalizer.mean.float(), policy.action_normalizer.std.float())


def _double_time_tables(field: ResidualMLPVelocityField, times: list[float]) -> Tensor:
    weights = {name: value.double().cpu() for name, value in field.time_mlp.state_dict().items()}
    features = flow_matching.time_features(torch.tensor(times, dtype=torch.float64), field.time_embed_dim)
    return torch.func.functional_call(field.time_mlp, weights, (features,))


def _linear_layers(module: nn.Module, dtype: torch.dtype) -> Iterator[Tensor]:
    """Packed weight and bias of each linear layer of a module, in order."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            yield from _packed(layer.weight, layer.bias, dtype)


def _packed(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Pack a layer's weight (out, in) in panels of outputs, and pad its bias (out,) to whole panels."""
    panels = _padded_to(weight.float(), _PANEL, dim=0).unflatten(0, (-1, _PANEL)).to(dtype)
    if dtype == torch.bfloat16:  # two inputs side by side
        panels = _padded_to(panels, 2, dim=2).unflatten(2, (-1, 2)).transpose(1, 2)
    else:
        panels = panels.transpose(1, 2)
    return panels, _padded_to(bias.float(), _PANEL)


def _padded_to(values: Tensor, multiple: int, dim: int = 0) -> Tensor:
    """Append zeros along a dimension up to a multiple."""
    missing = -values.shape[dim] % multiple
    shape = [*values.shape[:dim], missing, *values.shape[dim + 1 :]]
    return torch.cat([values, values.new_zeros(shape)], dim=dim)
