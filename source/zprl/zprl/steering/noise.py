# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Choosing the noise that the flow starts from, as in DSRL."""

from __future__ import annotations

from torch import Tensor

from zprl.policies.base import BasePolicy, Plan
from zprl.steering.steering import BoundedSteering, SteeringCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NonNegativeFloat


@configclass
class InitialNoiseCfg(SteeringCfg):
    """Settings of :class:`InitialNoise`."""

    class_type: Name = "zprl.steering.noise:InitialNoise"

    scale: NonNegativeFloat = 1.5
    """Bound of the noise in standard deviations of what the flow was trained from."""

    repeat: bool = True
    """Whether one action's noise is repeated over the chunk, which makes ``u`` shorter by the horizon and what it does
    easier to learn. The base policy never saw such noise, and some cannot act on it: evaluate with random u first."""


class InitialNoise(BoundedSteering):
    """The flow starts from w = w0 + scale * u, with u in [-1, 1] (arXiv 2506.15799).

    w0 is where the base policy starts with ``policy.initial_noise`` zero or fixed, so that u = 0 is the base policy.
    Where that samples, w0 is zero: u then replaces the sample, and no u is the base policy.
    """

    knob = "noise"
    rms_metric = "Steering/rms_noise"

    def __init__(self, cfg: InitialNoiseCfg, base: BasePolicy) -> None:
        super().__init__(cfg, base)
        self.repeat = cfg.repeat
        horizon, action_dim = base.start_shape
        self.num_dims = action_dim if cfg.repeat else horizon * action_dim

    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """See :meth:`Steering.apply`; ``u`` is clipped to [-1, 1]."""
        horizon, action_dim = self.policy.start_shape
        w = self.residual(u)
        w = w[:, None].expand(-1, horizon, -1) if self.repeat else w.unflatten(1, (horizon, action_dim))
        return {"noise": (w if self.policy.samples_noise else plan.noise + w).contiguous()}

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        how = "repeated over the chunk" if self.repeat else "free over the chunk"
        return f"the flow's initial noise, {how}, of at most {self.scale}"
