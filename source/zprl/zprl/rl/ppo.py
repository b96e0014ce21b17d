# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""rsl_rl's PPO, whose critic may learn alone at first."""

from __future__ import annotations

import contextlib
from typing import Any

from rsl_rl.algorithms import PPO

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlPpoAlgorithmCfg

from zprl.policy.flow_policy import frozen


@configclass
class CriticWarmupPPOCfg(RslRlPpoAlgorithmCfg):
    """Settings of :class:`CriticWarmupPPO`."""

    class_name: str = "zprl.rl.ppo:CriticWarmupPPO"

    critic_warmup_iterations: int = 2
    """Iterations in which the actor keeps still."""


class CriticWarmupPPO(PPO):
    """PPO for an actor that can already do something, which the advantages of an untrained critic would undo.

    Args:
        *args: See :class:`rsl_rl.algorithms.PPO`.
        critic_warmup_iterations: Iterations in which only the critic learns (DPPO, arXiv 2409.00588).
        **kwargs: See :class:`rsl_rl.algorithms.PPO`.
    """

    def __init__(self, *args: Any, critic_warmup_iterations: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.critic_warmup_iterations = critic_warmup_iterations
        self.num_updates = 0
        """Iterations learned so far."""

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
        self.num_updates = loaded_dict["num_updates"]
        return super().load(loaded_dict, load_cfg, strict)
