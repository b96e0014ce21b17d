# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Learning from scratch: the learner's output is the action."""

from __future__ import annotations

from torch import Tensor

from zprl.policies.base import BasePolicy, Plan
from zprl.steering.steering import Steering, SteeringCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name


@configclass
class DirectActionCfg(SteeringCfg):
    """Settings of :class:`DirectAction`."""

    class_type: Name = "zprl.steering.direct_action:DirectAction"


class DirectAction(Steering):
    """a = clamp(u) in every environment step. The base policy has no part in it and is only compared with."""

    closed_loop = True

    def __init__(self, cfg: DirectActionCfg, base: BasePolicy) -> None:
        super().__init__(cfg, base)
        self.num_dims = base.action_dim

    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """See :meth:`Steering.apply`; ``u`` is one action (N, action_dim)."""
        return {"actions": u[:, None]}

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return "actions from scratch, without the base policy"
