# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""rsl_rl's PPO, for several processes that learn as one would, and for actors that can already do something."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from rsl_rl import algorithms
from tensordict import TensorDict
from torch import Tensor

from isaaclab_rl.rsl_rl import RslRlPpoAlgorithmCfg

from zprl.utils.configclass import configclass
from zprl.utils.modules import frozen


@configclass
class PPOCfg(RslRlPpoAlgorithmCfg):
    """Settings of :class:`PPO`."""

    class_name: str = "zprl.rl.ppo:PPO"

    critic_warmup_iterations: int = 0
    """Iterations in which only the critic learns, while the actor keeps still."""


class PPO(algorithms.PPO):
    """PPO with advantages over the worlds of all processes, and with iterations in which the critic learns alone.

    Gradients, learning rate and observation statistics of several processes are rsl_rl's own business and equal those
    of one process. Only the advantages it normalises per process, which weighs the same experience differently.

    Args:
        *args: See :class:`rsl_rl.algorithms.PPO`.
        critic_warmup_iterations: Iterations in which only the critic learns, because the advantages of an untrained one
            would undo what the actor can do (DPPO, arXiv 2409.00588).
        **kwargs: See :class:`rsl_rl.algorithms.PPO`.
    """

    def __init__(self, *args: Any, critic_warmup_iterations: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.critic_warmup_iterations = critic_warmup_iterations
        self.num_updates = 0
        """Iterations learned so far."""

    def compute_returns(self, obs: TensorDict) -> None:
        """Compute returns and advantages; see :meth:`rsl_rl.algorithms.PPO.compute_returns`."""
        super().compute_returns(obs)
        if self.is_multi_gpu:
            self.storage.advantages = normalised_over_processes(self.storage.returns - self.storage.values)

    def update(self) -> dict[str, float]:
        """See :meth:`rsl_rl.algorithms.PPO.update`."""
        warming_up = self.num_updates < self.critic_warmup_iterations
        with frozen(self.actor) if warming_up else contextlib.nullcontext():
            losses = super().update()
        self.num_updates += 1
        return losses

    def save(self) -> dict[str, Any]:
        """See :meth:`rsl_rl.algorithms.PPO.save`."""
        return {**super().save(), "num_updates": self.num_updates}

    def load(self, loaded_dict: dict[str, Any], load_cfg: dict | None, strict: bool) -> bool:
        """See :meth:`rsl_rl.algorithms.PPO.load`."""
        # Older checkpoints do not say, and none of them had a warm-up.
        self.num_updates = loaded_dict.get("num_updates", self.critic_warmup_iterations)
        return super().load(loaded_dict, load_cfg, strict)


def normalised_over_processes(values: Tensor) -> Tensor:
    """Return values less their mean, divided by their deviation, both over the values of all processes.

    As in rsl_rl, the variance is the unbiased one and 1e-8 is added to the deviation.

    Args:
        values: This process's values, of any shape.
    """
    total = torch.stack([values.sum(), torch.full_like(values.sum(), values.numel())])
    torch.distributed.all_reduce(total)
    centred = values - total[0] / total[1]
    squares = centred.square().sum()
    torch.distributed.all_reduce(squares)
    return centred / ((squares / (total[1] - 1)).sqrt() + 1e-8)
