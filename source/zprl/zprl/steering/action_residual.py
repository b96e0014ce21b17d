# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A residual on the actions of the chunk, bounded and introduced step by step as in Policy Decorator."""

from __future__ import annotations

import torch
from torch import Tensor

from zprl.policies.base import BasePolicy, Plan
from zprl.steering.steering import BoundedSteering, CriticAction, SteeringCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NonNegativeFloat, NonNegativeInt


@configclass
class ActionResidualCfg(SteeringCfg):
    """Settings of :class:`ActionResidual`."""

    class_type: Name = "zprl.steering.action_residual:ActionResidual"

    scale: NonNegativeFloat = 0.2
    """Bound of the residual in the environment's units, in which actions lie in [-1, 1]."""

    progressive_steps: NonNegativeInt = 100_000
    """Environment steps over which the share of chunks that get a residual rises from 0 to 1; 0 for all from the
    start."""


class ActionResidual(BoundedSteering):
    """a' = clamp(a + scale * u), with u in [-1, 1] for each executed action of the chunk (arXiv 2412.13630).

    While exploring, a chunk gets its residual with probability min(steps / progressive_steps, 1), so that the learner
    first sees the states of the base policy; an evaluation always applies it.
    """

    knob = "actions"

    def __init__(self, cfg: ActionResidualCfg, base: BasePolicy) -> None:
        super().__init__(cfg, base)
        self.progressive_steps = cfg.progressive_steps
        self.num_actions = base.execute_steps
        self.num_dims = self.num_actions * base.action_dim
        self.critic_action = CriticAction("chunk", self.residual_scale)

    def features(self, plan: Plan) -> dict[str, Tensor]:
        """Return ``chunk``, the base policy's actions that would be executed (N, num_dims)."""
        return {"chunk": plan.actions[:, : self.num_actions].flatten(1)}

    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """See :meth:`Steering.apply`; ``u`` is clipped to [-1, 1]."""
        executed, rest = plan.actions[:, : self.num_actions], plan.actions[:, self.num_actions :]
        return {"actions": torch.cat([executed + self.residual(u).view_as(executed), rest], dim=1)}

    def explored(self, u: Tensor, env_steps: int) -> Tensor:
        """Drop the residuals of some worlds, by the progress of the schedule."""
        share = env_steps / self.progressive_steps if self.progressive_steps else 1.0
        if share >= 1.0:
            return u
        return torch.where(torch.rand(u.shape[0], 1, device=u.device) < share, u, 0.0)

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return f"a residual on the chunk's actions of at most {self.scale}"
