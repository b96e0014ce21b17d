# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The blob: a flow policy packed for the native libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zprl.policies.flow.cfg import SOLVER_NAMES
from zprl.policies.flow.encoders import ObservationEmbedding
from zprl.policies.flow.policy import FlowPolicy
from zprl.policies.flow.unet import ConvBlock, FilmBlock, UNetVelocityField
from zprl.policies.flow.velocity_field import ResidualMLPVelocityField
from zprl.utils.errors import ZprlError

# Format of the blob. csrc/core/policy_blob.h describes it; change both together.
_MAGIC = 0x4C52505A
_VERSION = 6
HEADER_INTS = 64
_PANEL = 64
_ALIGNMENT = 64
MAX_HIDDEN_LAYERS = 8
_EMBED_HIDDEN_FIELD = 16
_VIB_HIDDEN_FIELD = _EMBED_HIDDEN_FIELD + MAX_HIDDEN_LAYERS
_ACTOR_FIELD = _VIB_HIDDEN_FIELD + MAX_HIDDEN_LAYERS
_PARTS_FIELD = _ACTOR_FIELD + 4 + MAX_HIDDEN_LAYERS
_ENCODER, _BOTTLENECK, _FLOW, _ACTOR = 1, 2, 4, 8
_NETWORK_FIELD = _PARTS_FIELD + 1
_RESIDUAL_MLP, _UNET = 0, 1
MAX_LEVELS = 6
MAX_POSITIONS = 1024

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ELU, nn.ReLU, nn.Tanh, nn.SiLU, nn.GELU)
"""Activations of an actor that the native libraries know, in the order of the blob's header."""

OUTPUTS = ("clamp", "tanh")
"""Ways to bound an actor's output to [-1, 1] that the native libraries know, in the order of the blob's header."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Types of packed weights, in the order of the blob's header."""


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


@torch.no_grad()
def pack_policy(
    policy: FlowPolicy, dtype: str = "float32", actor: PackedActor | None = None, whole: bool = True
) -> Tensor:
    """Pack a policy into the blob that the native libraries read.

    A blob has up to three parts besides an actor: the encoder (normaliser and embedding of the observation), the
    bottleneck, and the flow. A policy without a bottleneck is packed as its flow alone, which starts at a condition.

    Args:
        policy: Policy on any device.
        dtype: Type of the weights of modulation and velocity field, "float32" or "bfloat16".
        actor: What steers it; see :func:`zprl.rl.actor.pack_actor`. A policy step with such a blob adds the
            actor's bounded output to the latent by itself. None packs the base policy.
        whole: Whether a policy that does not start at an observation in the native libraries is refused. False leaves
            out an encoder that they do not know, so that the rest can still run behind it.

    Returns:
        The blob: a one-dimensional uint8 tensor on the CPU.

    Raises:
        ZprlError: If the dtype is unknown, or the policy has a velocity field of its own, too many layers or steps, or
            weights that are not finite, or the actor does not fit it; with ``whole`` or an actor also if it has an
            embedding of its own or no bottleneck.
    """
    if dtype not in DTYPES:
        raise ZprlError(f"unknown weight type {dtype!r}; choose one of {', '.join(DTYPES)}.")
    cfg = policy.cfg
    parts = _parts_of(policy, required=whole or actor is not None) | (0 if actor is None else _ACTOR)
    field = _supported_field(policy)
    embed_hidden = cfg.embed_hidden_dims if parts & _ENCODER else ()
    vib_hidden = cfg.vib_hidden_dims if parts & _BOTTLENECK else ()
    if max(len(embed_hidden), len(vib_hidden)) > MAX_HIDDEN_LAYERS:
        raise ZprlError(f"the native backend takes at most {MAX_HIDDEN_LAYERS} hidden layers; use the torch backend.")

    weights = list(_sections(policy, parts, field, DTYPES[dtype]))
    limits = [policy.action_low.float(), policy.action_high.float()]  # they may be infinite
    steering = [] if actor is None else list(_actor_sections(policy, actor))
    finite = all(torch.isfinite(section).all() for section in weights + steering)
    if not finite or any(torch.isnan(limit).any() for limit in limits):
        raise ZprlError("the policy has weights that are not finite numbers; train it again or load another file.")
    sections = [section.detach().cpu() for section in weights + limits + steering]
    payload = torch.cat([_padded_to(s.contiguous().view(-1).view(torch.uint8), _ALIGNMENT) for s in sections])

    header = torch.zeros(HEADER_INTS, dtype=torch.int32)
    obs_dim, latent_dim = policy.obs_dim if parts & _ENCODER else 0, cfg.latent_dim if parts & _BOTTLENECK else 0
    sizes = [obs_dim, policy.action_dim, cfg.horizon, cfg.embed_dim, latent_dim, cfg.num_flow_steps]
    is_mlp = isinstance(field, ResidualMLPVelocityField)
    sizes += [SOLVER_NAMES.index(cfg.solver)]
    sizes += [cfg.velocity_hidden_dim, cfg.velocity_num_blocks] if is_mlp else [0, 0]
    channels = cfg.unet_channels
    network = [_RESIDUAL_MLP] if is_mlp else [_UNET, cfg.unet_kernel_size, cfg.unet_groups, len(channels), *channels]
    sizes += [len(embed_hidden), len(vib_hidden), list(DTYPES).index(dtype)]
    for start, values in (
        (0, [_MAGIC, _VERSION, 4 * HEADER_INTS + payload.numel(), *sizes]),
        (_EMBED_HIDDEN_FIELD, embed_hidden),
        (_VIB_HIDDEN_FIELD, vib_hidden),
        (_ACTOR_FIELD, [] if actor is None else _actor_header(actor)),
        (_PARTS_FIELD, [parts]),
        (_NETWORK_FIELD, network),
    ):
        header[start : start + len(values)] = torch.tensor(list(values), dtype=torch.int32)
    return torch.cat([header.view(torch.uint8), payload])


def supported_module[M: nn.Module](module: nn.Module, supported: type[M], what: str = "the native backend") -> M:
    """Return a module of exactly the given class: a subclass may compute something else."""
    if type(module) is not supported:
        raise ZprlError(
            f"{what} runs {supported.__name__} only, and the policy has a {type(module).__name__}; "
            "use the torch backend."
        )
    return module


def _supported_field(policy: FlowPolicy) -> ResidualMLPVelocityField | UNetVelocityField:
    """Return the velocity field if the native libraries know it."""
    field = policy.velocity_field
    if type(field) is not UNetVelocityField:
        return supported_module(field, ResidualMLPVelocityField)
    levels = len(policy.cfg.unet_channels)
    if levels > MAX_LEVELS:
        raise ZprlError(f"the native backend takes U-Nets of at most {MAX_LEVELS} levels; use the torch backend.")
    if policy.cfg.horizon + field.padding > MAX_POSITIONS:
        raise ZprlError(
            f"the native backend takes U-Nets over at most {MAX_POSITIONS} control steps; use the torch backend."
        )
    return field


def _parts_of(policy: FlowPolicy, required: bool) -> int:
    """Bit mask of the parts of a policy, without an actor. With ``required``, refuse one that lacks any."""
    if policy.bottleneck is None:
        if required:
            raise ZprlError("the native backend runs policies with a bottleneck only; use the torch backend.")
        return _FLOW
    if required:
        supported_module(policy.embedding, ObservationEmbedding)
    return _BOTTLENECK | _FLOW | (_ENCODER if type(policy.embedding) is ObservationEmbedding else 0)


def _actor_header(actor: PackedActor) -> list[int]:
    widths = [layer.out_features for layer in actor.layers[:-1]]
    unused = [0] * (MAX_HIDDEN_LAYERS - len(widths))
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
    policy: FlowPolicy, parts: int, field: ResidualMLPVelocityField | UNetVelocityField, dtype: torch.dtype
) -> Iterator[Tensor]:
    """Sections of the blob up to the action limits, in the order of csrc/core/policy_blob.h."""
    if parts & _ENCODER:
        yield from (policy.obs_normalizer.mean.float(), policy.obs_normalizer.std.float())
        yield from _linear_layers(policy.embedding, torch.float32)
    if parts & _BOTTLENECK:
        for mlp in (policy.bottleneck.encoder, policy.bottleneck.decoder):
            yield from _linear_layers(mlp, torch.float32)
    tables = policy.exact_time_tables().float()
    if isinstance(field, UNetVelocityField):
        yield from _unet_sections(field, tables, dtype)
    else:
        yield from _mlp_sections(field, tables, dtype)
    yield from (policy.action_normalizer.mean.float(), policy.action_normalizer.std.float())


def _mlp_sections(field: ResidualMLPVelocityField, tables: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    yield from _packed_parts(field.condition_modulation, [field.hidden_dim] * 4, dtype)
    yield from _packed(field.input.weight, field.input.bias, dtype)
    yield _padded_to(tables.unflatten(1, (-1, field.hidden_dim)), _PANEL, dim=2)
    yield from _linear_layers(field.blocks, dtype)
    yield from _packed(field.output.weight, field.output.bias, dtype)


def _unet_sections(field: UNetVelocityField, tables: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    widths = [width // 2 for width in field.film_widths for _ in range(2)]
    yield from _packed_parts(field.condition_modulation, widths, dtype)
    yield _by_panels(tables, widths, dim=1)

    def block(module: nn.Module, first: bool = False, joins: bool = False) -> Iterator[Tensor]:
        assert isinstance(module, FilmBlock)
        yield from _conv_block(module.block_in, dtype, joins)
        yield from _conv_block(module.block_out, dtype)
        if first:
            inputs = module.block_in.conv.in_channels
            identity = torch.eye(inputs)[..., None], torch.zeros(inputs)
            same = isinstance(module.residual, nn.Identity)
            yield from _convolution(*(identity if same else _weight_and_bias(module.residual)), dtype, joins)

    for index, module in enumerate(field.down):
        yield from block(module, first=index % 2 == 0)
        if index % 2 == 1 and index // 2 < len(field.downsample):
            yield from _convolution(*_weight_and_bias(field.downsample[index // 2]), dtype)
    for module in field.middle:
        yield from block(module)
    for index, module in enumerate(field.up):
        yield from block(module, first=index % 2 == 0, joins=index % 2 == 0)
        if index % 2 == 1:
            weight, bias = _weight_and_bias(field.upsample[index // 2])
            for taps in ([3, 1], [2, 0]):  # of even and of odd positions, in the order of what they read
                yield from _convolution(weight[..., taps].transpose(0, 1), bias, dtype)
    yield from _conv_block(field.output_block, dtype)
    yield from _convolution(*_weight_and_bias(field.output), dtype)


def _conv_block(block: ConvBlock, dtype: torch.dtype, joins: bool = False) -> Iterator[Tensor]:
    yield from _convolution(*_weight_and_bias(block.conv), dtype, joins)
    for values in _weight_and_bias(block.norm):
        yield _padded_to(values.float(), _PANEL)


def _convolution(weight: Tensor, bias: Tensor, dtype: torch.dtype, joins: bool = False) -> tuple[Tensor, Tensor]:
    """Pack a convolution's weight (out, in, taps) and its bias.

    With ``joins``, the inputs are two halves, of which the first is padded to whole panels.
    """
    weight = weight.transpose(1, 2)
    if joins:
        first, second = weight.chunk(2, dim=-1)
        weight = torch.cat([_padded_to(first, _PANEL, dim=2), second], dim=-1)
    if dtype == torch.bfloat16:
        weight = _padded_to(weight, 2, dim=2)
    return _packed(weight.flatten(1), bias, dtype)


def _weight_and_bias(layer: Any) -> tuple[Tensor, Tensor]:
    return layer.weight, layer.bias


def _packed_parts(layer: nn.Linear, widths: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Pack a layer whose outputs are parts of some widths, each of which begins at a whole panel."""
    return _packed(_by_panels(layer.weight, widths), _by_panels(layer.bias, widths), dtype)


def _by_panels(values: Tensor, widths: Sequence[int], dim: int = 0) -> Tensor:
    """Let parts of some widths along a dimension begin at whole panels each."""
    return torch.cat([_padded_to(part, _PANEL, dim) for part in values.split(list(widths), dim)], dim)


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
