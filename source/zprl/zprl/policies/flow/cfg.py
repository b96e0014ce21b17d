# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Configuration of the flow policy and of its training from demonstrations."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from zprl.policies.flow.flow_matching import SOLVERS
from zprl.utils.configclass import configclass, update_from_dict
from zprl.utils.constraints import (
    Decay,
    Increasing,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    NotEmpty,
    OneOf,
    PositiveFloat,
    PositiveInt,
    Range,
    Seed,
    Share,
    check_values,
)
from zprl.utils.errors import ZprlError

SOLVER_NAMES = tuple(SOLVERS)
"""Values of :attr:`FlowPolicyCfg.solver`."""

PRECISIONS = {"float32": "native", "tf32": "native_tf32", "bfloat16": "native_bf16"}
"""Names of the native backends by the precision of their products."""

BACKEND_NAMES = (*PRECISIONS.values(), "torch")
"""Values of :attr:`FlowPolicyCfg.backend`."""


IMAGE_EMBEDDING = "zprl.policies.flow.encoders:ImageEmbedding"
RESNET_EMBEDDING = "zprl.policies.flow.encoders.resnet:ResNetEmbedding"
IMAGE_ENCODERS = (IMAGE_EMBEDDING, RESNET_EMBEDDING)
"""Encoders of images, as values of :attr:`FlowPolicyCfg.embedding_class`."""


@configclass
class ImageEncoderCfg:
    """How encoders see images; of no consequence to a policy that sees none."""

    crop: PositiveFloat = 0.875
    """Side of what they see of an image: at most 1, a share of its height and of its width; above, pixels. Training
    crops at random places, acting in the middle."""

    channels: Annotated[tuple[PositiveInt, ...], NotEmpty()] = (32, 64)
    """Channels of the convolutions of :class:`zprl.policies.ImageEmbedding`."""

    depth_range: Annotated[tuple[NonNegativeFloat, PositiveFloat], Increasing()] = (0.0, 2.0)
    """Nearest and farthest depth that is told apart [m]."""


@configclass
class FlowPolicyCfg:
    """Configuration of :class:`zprl.policies.FlowPolicy`."""

    observation_groups: Annotated[tuple[Name, ...], NotEmpty()] = ("policy",)
    """Observation groups of the task that the policy sees; those that are no images side by side, in this order."""

    horizon: PositiveInt = 8
    """Action chunk length H that the policy predicts, in control steps."""

    execute_steps: PositiveInt = 4
    """Number of actions Ta of a chunk that are executed before the policy is asked again, in control steps."""

    num_flow_steps: Annotated[int, Range(1, 1000)] = 6
    """Number of solver steps K from noise (t = 1) to action (t = 0)."""

    solver: Annotated[str, OneOf(*SOLVER_NAMES)] = "euler"
    """ODE solver: "euler" (order 1), "midpoint", "heun" (order 2) or "rk4" (order 4).

    A step costs one, two, two or four evaluations of the velocity field.
    """

    embed_dim: PositiveInt = 64
    """Width of the observation embedding e, which conditions the velocity field."""

    embed_hidden_dims: tuple[PositiveInt, ...] = (256, 256)
    """Widths of the hidden layers of the observation embedding."""

    latent_dim: PositiveInt = 16
    """Width of the bottleneck's latent z, which is the action space of reinforcement learning."""

    vib_hidden_dims: tuple[PositiveInt, ...] = (256, 256, 256)
    """Widths of the hidden layers of the bottleneck's encoder; its decoder has the same."""

    velocity_hidden_dim: PositiveInt = 256
    """Width of the velocity field's residual stream."""

    velocity_num_blocks: PositiveInt = 3
    """Number of residual blocks of the velocity field, with two linear layers each."""

    time_embed_dim: PositiveInt = 64
    """Number of sinusoidal features of the flow time, even. It is the time network's hidden width as well."""

    initial_noise: Annotated[str, OneOf("zero", "sampled", "fixed")] = "zero"
    """Where the flow starts when the caller gives no noise.

    "zero" (the mean of the noise: deterministic), "sampled" (a fresh normal sample for each chunk) or "fixed" (one
    normal sample, drawn when the policy is made and saved with it: deterministic).
    """

    backend: Annotated[str, OneOf(*BACKEND_NAMES)] = "native"
    """What runs the policy step: "native" (the compiled extension), "native_bf16" (the same with the velocity field's
    weights in bfloat16: half the memory traffic, about 0.1 % of the chunk's RMS in error), "native_tf32" (its products
    on a GPU's matrix units, in between) or "torch".

    Where the compiled extension cannot run, torch does, and one line on stderr says why.
    """

    embedding_class: Name = "zprl.policies.flow.encoders:ObservationEmbedding"
    """Module that maps observations to the embedding, as "module:Class".

    It is constructed with ``(cfg, obs_dim, image_shapes)``, maps a normalised state (N, obs_dim) to (N, embed_dim), and
    gets as a second argument the images by name where there are any. For images there are
    "zprl.policies.flow.encoders:ImageEmbedding", which is fast on CPUs, and the paper's
    "zprl.policies.flow.encoders.resnet:ResNetEmbedding".
    """

    images: ImageEncoderCfg = ImageEncoderCfg()
    """How those two see images."""

    velocity_field_class: Name = "zprl.policies.flow.velocity_field:ResidualMLPVelocityField"
    """Subclass of :class:`zprl.policies.VelocityField`, as "module:Class".

    It is constructed with ``(cfg, action_dim)``. The paper's is "zprl.policies.flow.unet:UNetVelocityField".
    """

    unet_channels: Annotated[tuple[PositiveInt, ...], NotEmpty()] = (128, 256, 512)
    """Channels of the U-Net's levels; each but the first has half the steps of the one before."""

    unet_kernel_size: PositiveInt = 5
    """Steps that a convolution of the U-Net sees, odd."""

    unet_groups: PositiveInt = 8
    """Groups of the U-Net's GroupNorm, which divide the channels of each level."""


INFERENCE_FIELDS = ("execute_steps", "num_flow_steps", "solver", "initial_noise", "backend")
"""Fields of :class:`FlowPolicyCfg` that may change after training, since no weight depends on them."""


@configclass
class ImageAugmentationCfg:
    """Random changes of the images that a policy is trained on; a policy without images knows none."""

    random_crop: bool = True
    """Whether crops of the size that the encoder sees come from random places instead of the middle."""

    brightness: Share = 0.0
    """Largest change of brightness, as a share of white."""

    contrast: Share = 0.0
    """Largest relative change of contrast."""

    color: Share = 0.0
    """Largest relative change of each colour channel."""

    blur: Share = 0.0
    """Share of the images that are blurred."""


EVALUATION_FIELDS = ("eval_interval", "eval_episodes")
"""Fields of :class:`PretrainCfg` that have no influence on what is trained."""


@configclass
class PretrainCfg:
    """Configuration of :func:`zprl.policies.train_policy`."""

    num_steps: PositiveInt = 2500
    """Number of optimiser steps."""

    bottleneck_steps: NonNegativeInt = 0
    """Number of optimiser steps that follow for the bottleneck alone, when what it has to imitate is at rest. Where
    precision counts, it is behind when the base policy is done."""

    batch_size: PositiveInt = 256
    """Number of (observation, chunk) pairs of an optimiser step, drawn with replacement."""

    flow_samples: PositiveInt = 1
    """Number of (noise, flow time) pairs per observation of an optimiser step. An image is encoded once for all."""

    augmentation: ImageAugmentationCfg = ImageAugmentationCfg()
    """Random changes of the images."""

    learning_rate: PositiveFloat = 1.0e-3
    """Peak learning rate of AdamW, reached after the warm-up; it then falls to zero along a cosine."""

    betas: tuple[Decay, Decay] = (0.95, 0.999)
    """Decay rates of AdamW's moment estimates."""

    weight_decay: NonNegativeFloat = 1.0e-6
    """Weight decay of AdamW."""

    warmup_steps: NonNegativeInt = 100
    """Number of optimiser steps of the linear warm-up."""

    ema_power: NonNegativeFloat = 0.8
    """Power p of the weight average, whose decay at step n is ``1 - (1 + n) ** -p``."""

    ema_max_decay: Share = 0.9999
    """Upper bound of the weight average's decay."""

    vib_beta: NonNegativeFloat = 2.0e-4
    """Weight of the bottleneck's KL divergence, which is a mean (not a sum) over the latent dimensions."""

    vib_recon: NonNegativeFloat = 0.01
    """Weight of the mean squared error between the decoded latent and the embedding."""

    privileged_weight: NonNegativeFloat = 0.0
    """Weight of an auxiliary loss: a linear layer on the embedding, which is no part of the policy, predicts the
    privileged observations. For images, in simulation; 0 for none, as data from a robot need."""

    encoder_weights: str = ""
    """Safetensors file of a trained ResNet18, as torchvision names its weights, with which each colour camera of
    ``ResNetEmbedding`` begins; empty for random weights."""

    log_interval: PositiveInt = 50
    """Number of optimiser steps between two entries of the history and two calls of the progress callback."""

    probe_interval: NonNegativeInt = 0
    """Number of optimiser steps, a multiple of ``log_interval``, between two probes of what can be read linearly of the
    privileged observations, where there are any; 0 for one at the end alone."""

    eval_interval: NonNegativeInt = 0
    """Number of optimiser steps, a multiple of ``log_interval``, between two evaluations of the policy in simulation,
    through its bottleneck; 0 for none. The loss does not tell how often a policy succeeds."""

    eval_episodes: PositiveInt = 100
    """Episodes of each of them, which are others than those that are reported."""

    seed: Seed = 0
    """Seed of the initial weights, of the batches and of the noise."""


@configclass
class VisualPolicyCfg(FlowPolicyCfg):
    """Defaults of a policy that sees images; a task names their groups."""

    embedding_class = IMAGE_EMBEDDING


@configclass
class VisualPretrainCfg(PretrainCfg):
    """Defaults of its training in simulation, on a CPU."""

    num_steps = 4000
    batch_size = 32
    flow_samples = 4
    privileged_weight = 1.0
    probe_interval = 1000


def check_cfg(cfg: FlowPolicyCfg) -> None:
    """Check all values, which would otherwise fail late and obscurely.

    Raises:
        ZprlError: If one is of another type or out of range, or two do not go together.
    """
    check_values(cfg)
    if cfg.execute_steps > cfg.horizon:
        raise ZprlError(f"FlowPolicyCfg.execute_steps ({cfg.execute_steps}) exceeds the horizon ({cfg.horizon}).")
    if cfg.time_embed_dim % 2:
        raise ZprlError(f"FlowPolicyCfg.time_embed_dim is {cfg.time_embed_dim}; it must be even.")


def check_pretrain_cfg(cfg: PretrainCfg) -> None:
    """Check all values of a training.

    Raises:
        ZprlError: If one is of another type or out of range, or two do not go together.
    """
    check_values(cfg)
    for name in ("probe_interval", "eval_interval"):
        if getattr(cfg, name) % cfg.log_interval:
            raise ZprlError(
                f"PretrainCfg.{name} is {getattr(cfg, name)}; it must be a multiple of log_interval "
                f"({cfg.log_interval})."
            )


def cfg_from_dict(values: dict[str, Any]) -> FlowPolicyCfg:
    """Return the configuration that a policy's file holds.

    Raises:
        ZprlError: If the dictionary holds a name that this version does not know.
    """
    unknown = set(values) - {field.name for field in fields(FlowPolicyCfg)}
    if unknown:
        raise ZprlError(f"the policy has settings that this ZPRL does not know: {', '.join(sorted(unknown))}.")
    cfg = FlowPolicyCfg()
    if "images" not in values and values.get("embedding_class") == IMAGE_EMBEDDING:
        raise ZprlError("the policy has an encoder of images that this ZPRL does not know any more; train it again.")
    update_from_dict(cfg, values)
    return cfg
