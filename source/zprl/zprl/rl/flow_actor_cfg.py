# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the flow policy as an actor."""

from __future__ import annotations

from zprl.utils.configclass import configclass


@configclass
class FlowActorCfg:
    """Settings of :class:`zprl.rl.flow_actor.FlowActor`."""

    class_name: str = "zprl.rl.flow_actor:FlowActor"

    std_range: tuple[float, float] = (0.08, 0.25)
    """Bounds of the standard deviation of each integration step's noise, in normalised actions."""

    learn_std: bool = True
    """Whether the deviation is learned, as in ReinFlow, or the bounds' geometric mean throughout, as in DPPO."""

    mean_log_prob: bool = True
    """Whether PPO compares the geometric mean of the chain's densities, which its clip is chosen for, or their product.
    """

    std_hidden_dims: list[int] = [64, 64]
    """Widths of the hidden layers of the network that chooses the deviation."""
