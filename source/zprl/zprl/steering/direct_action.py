# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Learning from scratch: the learner's output is the action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from zprl.steering.steering import Steering, SteeringCfg
from zprl.utils.configclass import configclass

if TYPE_CHECKING:
    from zprl.policies import PolicyStep


@configclass
class DirectActionCfg(SteeringCfg):
    """Settings of :class:`DirectAction`."""

    class_type: str = "zprl.steering.direct_action:DirectAction"


class DirectAction(Steering):
    """a = clamp(u) in every environment step. The base policy has no part in it and is only compared with.

    Args:
        cfg: Settings.
        step: The base policy's step.
    """

    closed_loop = True

    def __init__(self, cfg: DirectActionCfg, step: PolicyStep) -> None:
        self.step = step
        self.num_dims = step.policy.action_dim

    def features(self, obs: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Return nothing: the learner sees the observation."""
        return {}

    def plan(self, obs: Tensor, u: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`Steering.plan`; ``u`` is one action, clipped to the limits, shape (N, action_dim)."""
        if u is None:
            return self.step.act(obs, None, noise)
        return u.clamp(self.step.policy.action_low, self.step.policy.action_high)[:, None]

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return "actions from scratch, without the base policy"
