# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The transport task with two Franka Pandas."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.robots.dual_franka import dual_franka
from zprl.tasks.transport.transport_env_cfg import TransportEnvCfg


@configclass
class DualFrankaTransportEnvCfg(TransportEnvCfg):
    """Two Franka Pandas that face each other transport a hammer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(dual_franka("facing"))
