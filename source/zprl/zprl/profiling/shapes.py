# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policies that are profiled, the random data they get, and how much arithmetic and how many bytes a step needs.

Shapes A, B, U and V have random weights, also where training starts from zero, so that no layer can hide. U has the
paper's U-Net and the other settings of a default policy with actions of seven numbers. V is a default policy that sees
two cameras, like that of a task whose id ends in -Visual; of such policies the encoder, from observation to latent, and
the flow, from latent to chunk, are measured apart (:mod:`zprl.profiling.parts`). Encoder and decoder of A and B are
``obs -> H -> H -> 2z`` and ``z -> H -> H``, with H the width of the velocity field; multiply-accumulates:

=====  =================  ================  =====================  ==========  ===========
shape  core, per step     modulation, once  encode + decode, once  steps K     whole chunk
=====  =================  ================  =====================  ==========  ===========
A      425,984            262,144           153,600                10, Euler   4,675,584
B      2,326,528          1,048,576         569,344                10, Euler   24,883,200
U      19,099,392         458,752           399,360                6, Euler   115,454,464
=====  =================  ================  =====================  ==========  ===========

Counted are the multiply-accumulates of the linear layers and convolutions of the separable model: encoding, decoding
and modulation once per chunk, the core (input, blocks, output) once per evaluation of the velocity field. A
convolution's products with the zeros beyond the chunk's ends are none. The time tables cost nothing, as they are made
beforehand; element-wise work (activations, norms, solver) is not counted, as is usual.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zprl.policies import FlowPolicy, FlowPolicyCfg, ResidualMLPVelocityField, UNetVelocityField, load_policy
from zprl.policies.flow.cfg import IMAGE_EMBEDDING, check_cfg
from zprl.policies.flow.flow_matching import SOLVERS, evaluation_times
from zprl.profiling.parts import ENCODER, FLOW, WHOLE, Part
from zprl.utils.errors import ZprlError

TASK_PREFIX = "task:"


def _mlp_shape(hidden: int, blocks: int, horizon: int) -> dict[str, Any]:
    return {
        "horizon": horizon,
        "num_flow_steps": 10,
        "embed_dim": hidden,
        "embed_hidden_dims": (),
        "vib_hidden_dims": (hidden,),
        "velocity_hidden_dim": hidden,
        "velocity_num_blocks": blocks,
    }


_CAMERAS = {"front": (64, 64, 3), "wrist": (64, 64, 3)}

_DEFINITIONS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "A": (40, 8, _mlp_shape(hidden=256, blocks=3, horizon=8)),
    "B": (40, 14, _mlp_shape(hidden=512, blocks=4, horizon=16)),
    "U": (40, 7, {"velocity_field_class": "zprl.policies.flow.unet:UNetVelocityField"}),
    "V": (18, 7, {"embedding_class": IMAGE_EMBEDDING, "observation_groups": ("policy", *_CAMERAS)}),
}
"""Sizes of state and action, and the configuration; a policy with groups beside its state sees :data:`_CAMERAS`."""


@dataclass
class Shape:
    """A policy to profile, or a part of one."""

    name: str
    """What the user called it, such as "A" or "task:<id>", and the solver and steps asked for: "A rk4 K=4"."""

    policy: FlowPolicy
    """The policy in normalised action units and without action limits, where an error has a scale and cannot hide."""

    trained: FlowPolicy | None = None
    """The policy as it acts, with its action normaliser and limits; None for random weights."""

    part: Part = WHOLE
    """What of it."""

    def parts(self) -> list[Shape]:
        """Return what is measured of it: itself, or of a policy that sees its parts."""
        if not self.policy.image_shapes:
            return [self]
        return [replace(self, name=f"{self.name} {part.name}", trained=None, part=part) for part in (ENCODER, FLOW)]


def make_shape(name: str, solver: str | None = None, steps: int | None = None, seed: int = 0) -> Shape:
    """Return the policy of a shape.

    Args:
        name: "A", "B", "U", "V", or "task:<id>" for the task's newest trained base policy.
        solver: Solver of the flow; the policy's own if None.
        steps: Number of solver steps K; the policy's own if None.
        seed: Seed of the random weights of all but a task's.

    Raises:
        ZprlError: If the shape is unknown, the task has no trained base policy, or solver or steps are not valid.
    """
    given = "".join(f" {x}" for x in (solver, None if steps is None else f"K={steps}") if x is not None)
    if name.startswith(TASK_PREFIX):
        from zprl.runs import paths  # needs the simulator's packages, as trained policies do

        trained, _ = load_policy(paths.latest_base_policy(name.removeprefix(TASK_PREFIX)))
        trained = trained.float()
        _set_solver(trained.cfg, solver, steps)
        return Shape(name + given, _without_action_units(trained), trained)
    if name not in _DEFINITIONS:
        known = ", ".join([*_DEFINITIONS, f"{TASK_PREFIX}ID"])
        raise ZprlError(f"unknown shape '{name}'; choose among {known}.")
    obs_dim, action_dim, settings = _DEFINITIONS[name]
    cfg = FlowPolicyCfg(**settings)
    _set_solver(cfg, solver, steps)
    return Shape(name + given, random_policy(cfg, obs_dim, action_dim, seed, _CAMERAS if name == "V" else None))


def random_policy(
    cfg: FlowPolicyCfg,
    obs_dim: int,
    action_dim: int,
    seed: int = 0,
    image_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> FlowPolicy:
    """Return a policy with random weights everywhere, an identity action normaliser and no action limits.

    Signals keep their size from layer to layer; shifts, scales and gates get a size that matters. The caller's random
    numbers are left alone.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        policy = FlowPolicy(cfg, obs_dim, action_dim, image_shapes)
        for name, parameter in policy.named_parameters():
            small = parameter.ndim == 1 or "modulation" in name or "time_mlp" in name
            mean = float(name.endswith("norm.weight"))
            nn.init.normal_(parameter, mean, 0.1 if small else (parameter.numel() / len(parameter)) ** -0.5)
        policy.obs_normalizer.mean.normal_()
        policy.obs_normalizer.std.uniform_(0.5, 4.0)
    return policy.eval()


def _set_solver(cfg: FlowPolicyCfg, solver: str | None, steps: int | None) -> None:
    cfg.solver = cfg.solver if solver is None else solver
    cfg.num_flow_steps = cfg.num_flow_steps if steps is None else steps
    check_cfg(cfg)


def _without_action_units(policy: FlowPolicy) -> FlowPolicy:
    """Return a copy that puts out normalised, unlimited chunks. It does the same work."""
    policy = copy.deepcopy(policy)
    policy.action_normalizer.mean.zero_()
    policy.action_normalizer.std.fill_(1.0)
    policy.action_low.fill_(-torch.inf)
    policy.action_high.fill_(torch.inf)
    return policy


# -- work --------------------------------------------------------------------------------------------------------------


WEIGHT_BYTES = {"float32": 4, "tf32": 4, "bfloat16": 2}
"""Bytes of one weight. Biases and time tables keep 4 bytes in every precision."""


@dataclass(frozen=True)
class Work:
    """Arithmetic and data of one policy step on one row."""

    encode_macs: int
    """Multiply-accumulates from observation to latent."""

    encode_weights: int
    """Number of weights that these read: one per multiply-accumulate, but of a convolution."""

    condition_macs: int
    """Multiply-accumulates from latent to modulation: decoder and modulation."""

    core_macs: int
    """Multiply-accumulates of one evaluation of the velocity field."""

    evaluations: int
    """Number of evaluations of the velocity field per chunk."""

    core_weights: int
    """Number of weights that one evaluation reads: of a residual MLP one per multiply-accumulate."""

    core_vectors: int
    """Number of the core's other weights: biases, and scales of norms."""

    once_vectors: int
    """Number of all other values that are read once: biases outside the core, and the time tables."""

    io_values: int
    """Number of values that go in and out per row: observation, residual, noise and chunk."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one row."""
        return self.encode_macs + self.condition_macs + self.evaluations * self.core_macs

    def flops(self, rows: int) -> int:
        """Floating-point operations of a batch: two per multiply-accumulate."""
        return 2 * self.macs * rows

    def core_bytes(self, dtype: str) -> int:
        """Size of the core's weights [bytes]: what every evaluation reads again."""
        return WEIGHT_BYTES[dtype] * self.core_weights + 4 * self.core_vectors

    def weight_bytes(self, dtype: str) -> int:
        """Weights that a step on one row must read [bytes]: the core once per evaluation, the rest once."""
        once = WEIGHT_BYTES[dtype] * (self.encode_weights + self.condition_macs) + 4 * self.once_vectors
        return self.evaluations * self.core_bytes(dtype) + once

    def compulsory_bytes(self, rows: int, dtype: str) -> int:
        """What must cross the memory's bus for a batch if every weight is read once [bytes]."""
        once = self.weight_bytes(dtype) - (self.evaluations - 1) * self.core_bytes(dtype)
        return once + 4 * self.io_values * rows

    def intensity(self, rows: int, dtype: str) -> float:
        """Arithmetic intensity [flop/byte] if all rows of a batch share one pass over the weights."""
        return self.flops(rows) / (self.weight_bytes(dtype) + 4 * self.io_values * rows)


def count_work(policy: FlowPolicy, part: Part = WHOLE) -> Work:
    """Count the work of a policy with the residual MLP or the U-Net as its velocity field, or of a part of it.

    Raises:
        ZprlError: If it has another one.
    """
    field = policy.velocity_field
    if isinstance(field, ResidualMLPVelocityField):
        weights, vectors = _linear((field.input, field.blocks, field.output))
        core = _Core(weights, weights, vectors)
        table_width = (3 * policy.cfg.velocity_num_blocks + 3) * field.hidden_dim
    elif isinstance(field, UNetVelocityField):
        core, table_width = _convolutions(field, policy.cfg.horizon), sum(field.film_widths)
    else:
        raise ZprlError(f"the profiler cannot count the work of a {type(field).__name__}; choose another shape.")
    condition = _linear((policy.bottleneck.decoder, field.condition_modulation))
    solver = SOLVERS[policy.cfg.solver]
    table_rows = len(evaluation_times(solver, policy.cfg.num_flow_steps))
    horizon, action_dim = policy.chunk_shape
    encode, latent_dim = _encoding(policy), policy.cfg.latent_dim
    observed = policy.obs_dim + sum(map(math.prod, policy.image_shapes.values()))
    if part is ENCODER:
        return Work(encode.macs, encode.weights, 0, 0, 0, 0, 0, encode.vectors, observed + latent_dim)
    flow = Work(
        encode_macs=0,
        encode_weights=0,
        condition_macs=condition[0],
        core_macs=core.macs,
        evaluations=len(solver.nodes) * policy.cfg.num_flow_steps,
        core_weights=core.weights,
        core_vectors=core.vectors,
        once_vectors=condition[1] + table_rows * table_width,
        io_values=latent_dim + 2 * horizon * action_dim,
    )
    if part is FLOW:
        return flow
    return replace(
        flow,
        encode_macs=encode.macs,
        encode_weights=encode.weights,
        once_vectors=flow.once_vectors + encode.vectors,
        io_values=flow.io_values + observed,
    )


def _encoding(policy: FlowPolicy) -> _Core:
    """Count what leads from observation to latent; of convolutions over images the products with padding as well."""
    weights, vectors = _linear((policy.embedding, policy.bottleneck.encoder))
    macs = weights

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal macs, weights, vectors
        assert isinstance(layer, nn.Conv2d)
        macs += layer.weight.numel() * output[0, 0].numel()
        weights += layer.weight.numel()
        vectors += layer.out_channels

    layers = [layer for layer in policy.embedding.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    if layers:
        with torch.no_grad():
            policy.embed(policy.example_inputs())
    for hook in hooks:
        hook.remove()
    return _Core(macs, weights, vectors)


def _linear(modules: tuple[nn.Module, ...]) -> tuple[int, int]:
    """Number of weights and of biases of all linear layers. A row takes one multiply-accumulate per weight."""
    layers = [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]
    return sum(layer.weight.numel() for layer in layers), sum(layer.bias.numel() for layer in layers)


class _Core(NamedTuple):
    """Multiply-accumulates, weights and other vectors of a part of the step; see :class:`Work`."""

    macs: int
    weights: int
    vectors: int


def _convolutions(field: UNetVelocityField, horizon: int) -> _Core:
    """Count what a U-Net does, by the positions of each tap that lie within the chunk as it is padded."""
    counts: list[tuple[int, int]] = []

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)
        (taps,), (stride,), (padding,) = layer.kernel_size, layer.stride, layer.padding
        assert isinstance(padding, int)
        # Of a transposed convolution, in and out change their places.
        short, long = (output, inputs[0]) if isinstance(layer, nn.Conv1d) else (inputs[0], output)
        read = [
            sum(0 <= position * stride + tap - padding < long.shape[-1] for position in range(short.shape[-1]))
            for tap in range(taps)
        ]
        products = layer.in_channels * layer.out_channels
        counts.append((products * sum(read), products * sum(times > 0 for times in read)))

    layers = [layer for layer in field.modules() if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)]
    norms = [layer for layer in field.modules() if isinstance(layer, nn.GroupNorm)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        like = field.condition_modulation.weight
        x = like.new_zeros(1, horizon, field.output.out_channels)
        field(x, like.new_zeros(1, like.shape[1]), like.new_zeros(1))
    for hook in hooks:
        hook.remove()
    vectors = sum(layer.out_channels for layer in layers) + sum(2 * norm.num_channels for norm in norms)
    return _Core(sum(macs for macs, _ in counts), sum(weights for _, weights in counts), vectors)
