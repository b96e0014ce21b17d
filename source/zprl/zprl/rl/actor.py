# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The learner's actor alone, for evaluation and deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from torch import Tensor, nn

from zprl.errors import ZprlError

if TYPE_CHECKING:
    from zprl.envs import ChunkedVecEnv
    from zprl.rl.checkpoint import SteeringCheckpoint


def row_by_row(actor: nn.Module, device: str) -> Callable[[TensorDict], Tensor]:
    """Return a deterministic actor whose output for a row does not depend on the rows beside it.

    A matrix product's rounding depends on its number of rows, and an episode's outcome must not depend on how many run
    beside it; on the CPU rows are therefore computed one by one. Accelerators compute the batch at once.

    Args:
        actor: rsl_rl's actor model.
        device: Device of the actor.
    """

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


def load_actor(env: ChunkedVecEnv, checkpoint: SteeringCheckpoint, device: str) -> Callable[[TensorDict], Tensor]:
    """Rebuild a checkpoint's actor.

    Args:
        env: The environment that it acts in, which gives the sizes.
        checkpoint: The checkpoint.
        device: Device to run on.

    Raises:
        ZprlError: If the weights do not fit the checkpoint's own configuration.
    """
    from zprl.rl.runner_cfg import model_arguments

    agent = checkpoint.settings["agent"]
    arguments = model_arguments(agent["actor"])
    model_class = resolve_callable(arguments.pop("class_name"))
    try:
        actor = model_class(env.get_observations(), agent["obs_groups"], "actor", env.num_actions, **arguments)
        actor.load_state_dict(checkpoint.content["actor_state_dict"])
    except (RuntimeError, KeyError) as error:
        raise ZprlError(
            f"the actor in {checkpoint.path} does not fit this task or is damaged; train it anew."
        ) from error
    return row_by_row(actor.to(device), device)
