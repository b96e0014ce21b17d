# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A residual on every single action, in closed loop inside the chunk, as in ResiP."""

from __future__ import annotations

from torch import Tensor

from zprl.policies.base import BasePolicy, ChunkPlayer, Plan
from zprl.steering.steering import BoundedSteering, SteeringCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NonNegativeFloat


@configclass
class StepResidualCfg(SteeringCfg):
    """Settings of :class:`StepResidual`."""

    class_type: Name = "zprl.steering.step_residual:StepResidual"

    scale: NonNegativeFloat = 0.2
    """Bound of the residual in the environment's units, in which actions lie in [-1, 1]."""


class StepResidual(BoundedSteering):
    """a' = clamp(a + scale * u), with u in [-1, 1] chosen anew in every environment step (arXiv 2407.16677).

    The base policy plans a chunk as it would alone, at the beginning of an episode and whenever ``execute_steps`` of
    its actions were executed; the learner sees the observation of every step and the base's action for it.
    """

    knob = "actions"
    closed_loop = True

    def __init__(self, cfg: StepResidualCfg, base: BasePolicy) -> None:
        super().__init__(cfg, base)
        self.policy = ChunkPlayer(base)
        self.num_dims = base.action_dim

    def features(self, plan: Plan) -> dict[str, Tensor]:
        """Return ``base_action``, the base policy's action for this step (N, action_dim)."""
        return {"base_action": plan.actions[:, 0]}

    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """See :meth:`Steering.apply`; ``u`` is clipped to [-1, 1]."""
        return {"actions": plan.actions + self.residual(u)[:, None]}

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return f"a residual on every action of at most {self.scale}"
