# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How much arithmetic and how many bytes a policy step needs, counted from the shapes of its layers.

Counted are the multiply-accumulates of the linear layers of the separable model: encoding, decoding and modulation once
per chunk, the core (input, blocks, output) once per evaluation of the velocity field. The time tables cost nothing, as
they are made beforehand; element-wise work (activations, LayerNorm, solver) is not counted, as is usual.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from zprl.policies import FlowPolicy, ResidualMLPVelocityField
from zprl.policies.flow.flow_matching import SOLVERS, evaluation_times
from zprl.utils.errors import ZprlError

WEIGHT_BYTES = {"float32": 4, "tf32": 4, "bfloat16": 2}
"""Bytes of one weight. Biases and time tables keep 4 bytes in every precision."""


@dataclass(frozen=True)
class Work:
    """Arithmetic and data of one policy step on one row."""

    encode_macs: int
    """Multiply-accumulates from observation to latent."""

    condition_macs: int
    """Multiply-accumulates from latent to modulation: decoder and modulation."""

    core_macs: int
    """Multiply-accumulates of one evaluation of the velocity field."""

    evaluations: int
    """Number of evaluations of the velocity field per chunk."""

    core_vectors: int
    """Number of the core's other weights: biases."""

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
        return WEIGHT_BYTES[dtype] * self.core_macs + 4 * self.core_vectors

    def weight_bytes(self, dtype: str) -> int:
        """Weights that a step on one row must read [bytes]: the core once per evaluation, the rest once."""
        once = WEIGHT_BYTES[dtype] * (self.encode_macs + self.condition_macs) + 4 * self.once_vectors
        return self.evaluations * self.core_bytes(dtype) + once

    def compulsory_bytes(self, rows: int, dtype: str) -> int:
        """What must cross the memory's bus for a batch if every weight is read once [bytes]."""
        once = self.weight_bytes(dtype) - (self.evaluations - 1) * self.core_bytes(dtype)
        return once + 4 * self.io_values * rows

    def intensity(self, rows: int, dtype: str) -> float:
        """Arithmetic intensity [flop/byte] if all rows of a batch share one pass over the weights."""
        return self.flops(rows) / (self.weight_bytes(dtype) + 4 * self.io_values * rows)


def count_work(policy: FlowPolicy) -> Work:
    """Count the work of a policy with the residual MLP as its velocity field.

    Raises:
        ZprlError: If it has another one.
    """
    field = policy.velocity_field
    if not isinstance(field, ResidualMLPVelocityField):
        raise ZprlError(f"the profiler cannot count the work of a {type(field).__name__}; choose another shape.")
    encode = _linear((policy.embedding, policy.bottleneck.encoder))
    condition = _linear((policy.bottleneck.decoder, field.condition_modulation))
    core = _linear((field.input, field.blocks, field.output))
    solver = SOLVERS[policy.cfg.solver]
    table_rows = len(evaluation_times(solver, policy.cfg.num_flow_steps))
    table_width = (3 * policy.cfg.velocity_num_blocks + 3) * field.hidden_dim
    horizon, action_dim = policy.chunk_shape
    return Work(
        encode_macs=encode[0],
        condition_macs=condition[0],
        core_macs=core[0],
        evaluations=len(solver.nodes) * policy.cfg.num_flow_steps,
        core_vectors=core[1],
        once_vectors=encode[1] + condition[1] + table_rows * table_width,
        io_values=policy.obs_dim + policy.cfg.latent_dim + 2 * horizon * action_dim,
    )


def _linear(modules: tuple[nn.Module, ...]) -> tuple[int, int]:
    """Number of weights and of biases of all linear layers. A row takes one multiply-accumulate per weight."""
    layers = [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]
    return sum(layer.weight.numel() for layer in layers), sum(layer.bias.numel() for layer in layers)
