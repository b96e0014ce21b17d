# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The learner's actor alone, for evaluation and deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from rsl_rl.models import MLPModel
from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from torch import Tensor, nn

from zprl.utils.errors import ZprlError
from zprl.utils.registry import check_settings

if TYPE_CHECKING:
    from zprl.rl.checkpoint import SteeringCheckpoint


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
    if torch.device(device).type == "cpu" and type(actor) is MLPModel:
        return _double_row_by_row(actor)

    @torch.inference_mode()
    def act(obs: TensorDict) -> Tensor:
        training = actor.training
        actor.eval()
        try:
            if torch.device(device).type != "cpu":
                return actor(obs.to(device))
            return torch.cat([actor(obs[i : i + 1]) for i in range(obs.shape[0])])
        finally:
            actor.train(training)

    return act


def _double_row_by_row(actor: MLPModel) -> Callable[[TensorDict], Tensor]:
    network, groups = actor.as_jit().double().eval(), actor.obs_groups

    @torch.inference_mode()
    def act(obs: TensorDict) -> Tensor:
        seen = torch.cat([obs[group] for group in groups], dim=-1)
        return torch.cat([network(row[None]) for row in seen.double()]).to(seen.dtype)

    return act


def make_actor(checkpoint: SteeringCheckpoint) -> Any:
    """Rebuild a checkpoint's actor, rsl_rl's model with its weights, on the CPU.

    Args:
        checkpoint: The checkpoint.

    Raises:
        ZprlError: If the weights do not fit the checkpoint's own configuration, or that names a class that is not
            registered.
    """
    from zprl.rl.model_cfg import model_arguments

    agent, steering = checkpoint.settings["agent"], checkpoint.steering()
    seen = steering.observe(steering.policy.encode(checkpoint.spec.zeros()), agent["obs_groups"]["actor"])
    arguments = model_arguments(agent["actor"]) | steering.model_arguments("actor")
    check_settings(arguments, f"the checkpoint {checkpoint.path}", "actor")
    model_class = resolve_callable(arguments.pop("class_name"))
    try:
        actor = model_class(seen, agent["obs_groups"], "actor", steering.num_dims, **arguments)
        actor.load_state_dict(checkpoint.content["actor_state_dict"])
    except (RuntimeError, KeyError) as error:
        raise ZprlError(
            f"the actor in {checkpoint.path} does not fit this task or is damaged; train it anew."
        ) from error
    return actor


def load_actor(checkpoint: SteeringCheckpoint, device: str) -> Callable[[TensorDict], Tensor]:
    """Rebuild a checkpoint's actor to act deterministically; see :func:`row_by_row`.

    Args:
        checkpoint: The checkpoint.
        device: Device to run on.

    Raises:
        ZprlError: If the weights do not fit the checkpoint's own configuration.
    """
    return row_by_row(make_actor(checkpoint).to(device), device)
