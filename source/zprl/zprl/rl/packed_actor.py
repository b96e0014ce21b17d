# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An rsl_rl actor taken apart for the native libraries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules import EmpiricalNormalization
from rsl_rl.modules.distribution import GaussianDistribution
from torch import nn

from zprl.policies.native.blob import ACTIVATIONS, MAX_HIDDEN_LAYERS, PackedActor, supported_module
from zprl.rl.distribution import SquashedGaussian
from zprl.utils.errors import ZprlError


def pack_actor(actor: nn.Module, residual_scale: float, seen: Sequence[str] = ("policy", "latent")) -> PackedActor:
    """Take an rsl_rl actor apart.

    Args:
        actor: ``MLPModel`` over the observation groups ``seen``, in this order.
        residual_scale: Lambda, ``LatentResidual.residual_scale``.
        seen: The groups that the base policy sees, and the latent.

    Raises:
        ZprlError: If it is another model, has too many layers, or an activation or a distribution that the native
            libraries do not know.
    """
    model = supported_module(actor, MLPModel, "the native actor")
    if list(model.obs_groups) != list(seen):
        groups = ", ".join(model.obs_groups)
        raise ZprlError(
            f"the native actor sees the groups {' and '.join(seen)}, and this one sees {groups}; use torch."
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
    if len(layers) - 1 > MAX_HIDDEN_LAYERS:
        raise ZprlError(f"the native actor takes at most {MAX_HIDDEN_LAYERS} hidden layers; use torch.")
    if output == "tanh":
        layers = (*layers[:-1], _first_half(layers[-1]))
    normalizer = model.obs_normalizer
    if isinstance(normalizer, EmpiricalNormalization):
        mean, divisor = normalizer.mean.float(), normalizer.std.float() + normalizer.eps
    else:
        mean, divisor = torch.zeros(model.obs_dim), torch.ones(model.obs_dim)
    return PackedActor(mean, divisor, layers, next(iter(activations), nn.ELU), float(residual_scale), output)


def _output_of(distribution: nn.Module | None) -> str:
    """Return which of :data:`OUTPUTS` an actor's deterministic output is, once steering has clamped it."""
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
