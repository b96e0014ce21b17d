# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The learner's actor alone, for evaluation and deployment: rebuilt, acting, and taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules import EmpiricalNormalization
from rsl_rl.modules.distribution import GaussianDistribution
from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from torch import Tensor, nn

from zprl.policies.native.blob import ACTIVATIONS, MAX_HIDDEN_LAYERS, PackedActor, supported_module
from zprl.rl.distribution import SquashedGaussian
from zprl.utils.errors import ZprlError
from zprl.utils.registry import check_settings

if TYPE_CHECKING:
    from zprl.rl.checkpoint import SteeringCheckpoint


def model_arguments(cfg: dict[str, Any]) -> dict[str, Any]:
    """Return a model's settings, as a dictionary, without what is None, which not every constructor takes."""
    return {name: value for name, value in cfg.items() if value is not None}


def row_by_row(actor: nn.Module, device: str) -> Callable[[TensorDict], Tensor]:
    """Return a deterministic actor whose output for a row does not depend on the rows beside it.

    A matrix product's rounding depends on its number of rows, and an episode's outcome must not depend on how many run
    beside it; on the CPU rows are therefore computed one by one, by an ``MLPModel`` in double precision: the flow
    enlarges the rounding of what steers it, as :class:`zprl.deploy.steered.PortableSteeredPolicy` says. Accelerators
    compute the batch at once, in single precision.

    Args:
        actor: rsl_rl's actor model, with the weights that are to act.
        device: Device of the actor.
    """
    on_cpu = torch.device(device).type == "cpu"
    if on_cpu and type(actor) is MLPModel:
        network, groups = actor.as_jit().double().eval(), actor.obs_groups

        @torch.inference_mode()
        def act_in_double(obs: TensorDict) -> Tensor:
            seen = torch.cat([obs[group] for group in groups], dim=-1)
            return torch.cat([network(row[None]) for row in seen.double()]).to(seen.dtype)

        return act_in_double

    @torch.inference_mode()
    def act(obs: TensorDict) -> Tensor:
        training = actor.training
        actor.eval()
        try:
            if not on_cpu:
                return actor(obs.to(device))
            return torch.cat([actor(obs[i : i + 1]) for i in range(obs.shape[0])])
        finally:
            actor.train(training)

    return act


def make_actor(checkpoint: SteeringCheckpoint) -> Any:
    """Rebuild a checkpoint's actor, rsl_rl's model with its weights, on the CPU.

    Raises:
        ZprlError: If the weights do not fit the checkpoint's own configuration, or that names a class that is not
            registered.
    """
    agent, steering = checkpoint.settings["agent"], checkpoint.steering()
    seen = steering.observe(steering.policy.encode(checkpoint.spec.zeros()), agent["obs_groups"]["actor"])
    arguments = model_arguments(agent["actor"]) | steering.model_arguments("actor")
    check_settings(arguments, f"the checkpoint {checkpoint.path}", "actor")
    model_class = resolve_callable(arguments.pop("class_name"))
    try:
        actor = model_class(seen, agent["obs_groups"], "actor", steering.num_dims, **arguments)
        actor.load_state_dict(checkpoint.content["actor_state_dict"])
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise ZprlError(
            f"the actor in {checkpoint.path} does not fit this task or is damaged; train it anew."
        ) from error
    return actor


def load_actor(checkpoint: SteeringCheckpoint, device: str) -> Callable[[TensorDict], Tensor]:
    """Rebuild a checkpoint's actor to act deterministically; see :func:`make_actor` and :func:`row_by_row`."""
    return row_by_row(make_actor(checkpoint).to(device), device)


def pack_actor(actor: nn.Module, residual_scale: float, seen: Sequence[str] = ("policy", "latent")) -> PackedActor:
    """Take an rsl_rl actor apart for the native libraries.

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
        # The second half of the last layer's outputs are the deviations.
        last, count = layers[-1], layers[-1].out_features // 2
        half = nn.Linear(last.in_features, count)
        half.weight, half.bias = nn.Parameter(last.weight[:count]), nn.Parameter(last.bias[:count])
        layers = (*layers[:-1], half)
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
