# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""rsl_rl's PPO for several processes that learn as one would from all worlds."""

from __future__ import annotations

import torch
from rsl_rl.algorithms import PPO
from tensordict import TensorDict
from torch import Tensor


class DistributedPPO(PPO):
    """PPO whose advantages are normalised over the worlds of all processes.

    Gradients, learning rate and observation statistics of several processes are rsl_rl's own business and equal those
    of one process. Only the advantages it normalises per process, which weighs the same experience differently.
    """

    def compute_returns(self, obs: TensorDict) -> None:
        """Compute returns and advantages; see :meth:`rsl_rl.algorithms.PPO.compute_returns`."""
        super().compute_returns(obs)
        storage = self.storage
        storage.advantages = normalised_over_processes(storage.returns - storage.values)


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
