# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Configuration of the flow policy and of its training from demonstrations."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from zprl.policies.flow.flow_matching import SOLVERS
from zprl.utils.configclass import configclass, update_from_dict
from zprl.utils.errors import ZprlError


@configclass
class FlowPolicyCfg:
    """Configuration of :class:`zprl.policies.FlowPolicy`."""

    observation_groups: tuple[str, ...] = ("policy",)
    """Observation groups of the task that the policy sees; those that are no images side by side, in this order."""

    horizon: int = 8
    """Action chunk length H that the policy predicts, in control steps."""

    execute_steps: int = 4
    """Number of actions Ta of a chunk that are executed before the policy is asked again, in control steps."""

    num_flow_steps: int = 6
    """Number of solver steps K from noise (t = 1) to action (t = 0)."""

    solver: str = "euler"
    """ODE solver: "euler" (order 1), "midpoint", "heun" (order 2) or "rk4" (order 4).

    A step costs one, two, two or four evaluations of the velocity field.
    """

    embed_dim: int = 64
    """Width of the observation embedding e, which conditions the velocity field."""

    embed_hidden_dims: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of the observation embedding."""

    latent_dim: int = 16
    """Width of the bottleneck's latent z, which is the action space of reinforcement learning."""

    vib_hidden_dims: tuple[int, ...] = (256, 256, 256)
    """Widths of the hidden layers of the bottleneck's encoder; its decoder has the same."""

    velocity_hidden_dim: int = 256
    """Width of the velocity field's residual stream."""

    velocity_num_blocks: int = 3
    """Number of residual blocks of the velocity field, with two linear layers each."""

    time_embed_dim: int = 64
    """Number of sinusoidal features of the flow time, even. It is the time network's hidden width as well."""

    initial_noise: str = "zero"
    """Where the flow starts when the caller gives no noise.

    "zero" (the mean of the noise: deterministic), "sampled" (a fresh normal sample for each chunk) or "fixed" (one
    normal sample, drawn when the policy is made and saved with it: deterministic).
    """

    backend: str = "native"
    """What runs the policy step: "native" (the compiled extension), "native_bf16" (the same with the velocity field's
    weights in bfloat16: half the memory traffic, about 0.1 % of the chunk's RMS in error), "native_tf32" (its products
    on a GPU's matrix units, in between) or "torch".

    Where the compiled extension cannot run, torch does, and one line on stderr says why.
    """

    embedding_class: str = "zprl.policies.flow.encoders:ObservationEmbedding"
    """Module that maps observations to the embedding, as "module:Class".

    It is constructed with ``(cfg, obs_dim, image_shapes)``, maps a normalised state (N, obs_dim) to (N, embed_dim), and
    gets as a second argument the images by name where there are any.
    """

    velocity_field_class: str = "zprl.policies.flow.velocity_field:ResidualMLPVelocityField"
    """Subclass of :class:`zprl.policies.VelocityField`, as "module:Class".

    It is constructed with ``(cfg, action_dim)``.
    """


INFERENCE_FIELDS = ("execute_steps", "num_flow_steps", "solver", "initial_noise", "backend")
"""Fields of :class:`FlowPolicyCfg` that may change after training, since no weight depends on them."""


@configclass
class PretrainCfg:
    """Configuration of :func:`zprl.policies.train_policy`."""

    num_steps: int = 2500
    """Number of optimiser steps."""

    batch_size: int = 256
    """Number of (observation, chunk) pairs of an optimiser step, drawn with replacement."""

    learning_rate: float = 1.0e-3
    """Peak learning rate of AdamW, reached after the warm-up; it then falls to zero along a cosine."""

    betas: tuple[float, float] = (0.95, 0.999)
    """Decay rates of AdamW's moment estimates."""

    weight_decay: float = 1.0e-6
    """Weight decay of AdamW."""

    warmup_steps: int = 100
    """Number of optimiser steps of the linear warm-up."""

    ema_power: float = 0.8
    """Power p of the weight average, whose decay at step n is ``1 - (1 + n) ** -p``."""

    ema_max_decay: float = 0.9999
    """Upper bound of the weight average's decay."""

    vib_beta: float = 2.0e-4
    """Weight of the bottleneck's KL divergence, which is a mean (not a sum) over the latent dimensions."""

    vib_recon: float = 0.01
    """Weight of the mean squared error between the decoded latent and the embedding."""

    log_interval: int = 50
    """Number of optimiser steps between two entries of the history and two calls of the progress callback."""

    seed: int = 0
    """Seed of the initial weights, of the batches and of the noise."""


SOLVER_NAMES = tuple(SOLVERS)
"""Values of :attr:`FlowPolicyCfg.solver`."""

INITIAL_NOISE_NAMES = ("zero", "sampled", "fixed")
"""Values of :attr:`FlowPolicyCfg.initial_noise`."""

PRECISIONS = {"float32": "native", "tf32": "native_tf32", "bfloat16": "native_bf16"}
"""Names of the native backends by the precision of their products."""

BACKEND_NAMES = (*PRECISIONS.values(), "torch")
"""Values of :attr:`FlowPolicyCfg.backend`."""


def check_cfg(cfg: FlowPolicyCfg) -> None:
    """Check the values that would otherwise fail late and obscurely.

    Raises:
        ZprlError: If a size is not positive, or a name is unknown.
    """
    sizes = ("horizon", "execute_steps", "num_flow_steps", "embed_dim", "latent_dim", "velocity_hidden_dim")
    for name in (*sizes, "velocity_num_blocks", "time_embed_dim"):
        if getattr(cfg, name) < 1:
            raise ZprlError(f"FlowPolicyCfg.{name} is {getattr(cfg, name)}; it must be at least 1.")
    if cfg.execute_steps > cfg.horizon:
        raise ZprlError(f"FlowPolicyCfg.execute_steps ({cfg.execute_steps}) exceeds the horizon ({cfg.horizon}).")
    if cfg.time_embed_dim % 2:
        raise ZprlError(f"FlowPolicyCfg.time_embed_dim is {cfg.time_embed_dim}; it must be even.")
    names = (("solver", SOLVER_NAMES), ("initial_noise", INITIAL_NOISE_NAMES), ("backend", BACKEND_NAMES))
    for name, known in names:
        if getattr(cfg, name) not in known:
            raise ZprlError(f"FlowPolicyCfg.{name} is {getattr(cfg, name)!r}; choose one of {', '.join(known)}.")


def cfg_from_dict(values: dict[str, Any]) -> FlowPolicyCfg:
    """Return the configuration that a policy's file holds.

    Raises:
        ZprlError: If the dictionary holds a name that this version does not know.
    """
    unknown = set(values) - {field.name for field in fields(FlowPolicyCfg)}
    if unknown:
        raise ZprlError(f"the policy has settings that this ZPRL does not know: {', '.join(sorted(unknown))}.")
    cfg = FlowPolicyCfg()
    update_from_dict(cfg, values)
    return cfg
