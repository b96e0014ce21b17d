# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""rsl_rl's PPO, for several processes that learn as one would, and for actors that can already do something."""

from __future__ import annotations

import contextlib
import inspect
from typing import Annotated, Any

import torch
from rsl_rl import algorithms
from rsl_rl.extensions import RandomNetworkDistillation, Symmetry
from tensordict import TensorDict
from torch import Tensor

from zprl.rl.native import Backend, runs_natively
from zprl.rl.ppo_native import NativePpo, ppo_obstacle
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NonNegativeFloat, NonNegativeInt, OneOf, PositiveFloat, PositiveInt, Share
from zprl.utils.errors import ZprlError
from zprl.utils.modules import frozen


@configclass
class PPOCfg:
    """Settings of :class:`PPO`; the defaults are those of ZPRL."""

    class_name: Name = "zprl.rl.ppo:PPO"

    num_learning_epochs: PositiveInt = 8
    """Passes over the experience of an iteration."""

    num_mini_batches: PositiveInt = 5
    """Gradient steps of a pass."""

    # The adaptive schedule starves on small residuals: it drove the rate to 1e-5 in trials.
    learning_rate: PositiveFloat = 5.0e-4
    """Learning rate."""

    schedule: Annotated[str, OneOf("fixed", "adaptive")] = "fixed"
    """How it changes: "fixed", or "adaptive", which keeps the KL divergence of an update near ``desired_kl``."""

    gamma: Share = 0.97
    """Discount of one step; a run sets it from ``step_discount``."""

    lam: Share = 0.95
    """Lambda of the generalised advantage estimation (arXiv 1506.02438)."""

    entropy_coef: NonNegativeFloat = 0.0
    """Weight of the entropy."""

    desired_kl: PositiveFloat = 0.015
    """KL divergence of an update that the adaptive schedule aims at."""

    max_grad_norm: PositiveFloat = 1.0
    """Bound of the gradients' norm."""

    optimizer: Annotated[str, OneOf("adam", "adamw", "sgd", "rmsprop")] = "adam"
    """Optimiser, as rsl_rl names it."""

    value_loss_coef: NonNegativeFloat = 1.0
    """Weight of the critic's loss."""

    use_clipped_value_loss: bool = True
    """Whether the critic's change is clipped like the actor's."""

    clip_param: PositiveFloat = 0.2
    """Clip of the ratio of likelihoods (arXiv 1707.06347)."""

    normalize_advantage_per_mini_batch: bool = False
    """Whether advantages are normalised in each minibatch instead of over all experience."""

    use_mixed_precision: bool = False
    """Whether networks compute in mixed precision on a GPU."""

    rnd_cfg: dict[str, Any] | None = None
    """Settings of rsl_rl's random network distillation, or None."""

    symmetry_cfg: dict[str, Any] | None = None
    """Settings of rsl_rl's symmetry augmentation, or None."""

    critic_warmup_iterations: NonNegativeInt = 0
    """Iterations in which only the critic learns, while the actor keeps still."""

    backend: Backend = "auto"
    """What takes the gradient steps."""


def check_ppo(cfg: PPOCfg) -> None:
    """Refuse settings of rsl_rl's extensions that those do not take.

    Raises:
        ZprlError: If one is unknown, or one that is needed is missing.
    """
    for option, values, extension, filled_in, needed in (
        ("rnd_cfg", cfg.rnd_cfg, RandomNetworkDistillation, {"num_states", "obs_groups", "device"}, {"weight"}),
        ("symmetry_cfg", cfg.symmetry_cfg, Symmetry, {"env"}, set()),
    ):
        if values is None:
            continue
        parameters = inspect.signature(extension).parameters
        known = set(parameters) - filled_in
        needed = needed | {name for name in known if parameters[name].default is inspect.Parameter.empty}
        wrong = sorted((set(values) - known) | (needed - set(values)))
        if wrong:
            raise ZprlError(
                f"agent.algorithm.{option} has or lacks {wrong[0]}; it takes {', '.join(sorted(known))}, "
                f"of which it needs {', '.join(sorted(needed))}."
            )


class PPO(algorithms.PPO):
    """PPO with advantages over the worlds of all processes, and with iterations in which the critic learns alone.

    Gradients, learning rate and observation statistics of several processes are rsl_rl's own business and equal those
    of one process. Only the advantages it normalises per process, which weighs the same experience differently.

    Only the critic learns at first because the advantages of an untrained one would undo what the actor can do (DPPO,
    arXiv 2409.00588). The arguments are those of :class:`rsl_rl.algorithms.PPO` and of :class:`PPOCfg`.

    Raises:
        ZprlError: If the native operator is asked for and cannot take its gradient steps.
    """

    def __init__(self, *args: Any, critic_warmup_iterations: int = 0, backend: str = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.critic_warmup_iterations = critic_warmup_iterations
        self.num_updates = 0
        """Iterations learned so far."""
        self.native = NativePpo(self) if runs_natively(backend, ppo_obstacle(self)) else None
        """What takes the gradient steps by the native operator, or None where autograd does."""

    def compute_returns(self, obs: TensorDict) -> None:
        """Compute returns and advantages; see :meth:`rsl_rl.algorithms.PPO.compute_returns`."""
        super().compute_returns(obs)
        if self.is_multi_gpu:
            self.storage.advantages = normalised_over_processes(self.storage.returns - self.storage.values)

    def update(self) -> dict[str, float]:
        """See :meth:`rsl_rl.algorithms.PPO.update`."""
        warming_up = self.num_updates < self.critic_warmup_iterations
        if self.native is not None:
            losses = self.native.update(learns_actor=not warming_up)
        else:
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
        loads_iteration = super().load(loaded_dict, load_cfg, strict)
        if self.native is not None:
            self.native.learned.adopt()
        return loads_iteration


def normalised_over_processes(values: Tensor) -> Tensor:
    """Return this process's values less their mean, divided by their deviation, both over those of all processes.

    As in rsl_rl, the variance is the unbiased one and 1e-8 is added to the deviation.
    """
    total = torch.stack([values.sum(), torch.full_like(values.sum(), values.numel())])
    torch.distributed.all_reduce(total)
    centred = values - total[0] / total[1]
    squares = centred.square().sum()
    torch.distributed.all_reduce(squares)
    return centred / ((squares / (total[1] - 1)).sqrt() + 1e-8)
