# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The can task with a Franka Panda."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.can.can_env_cfg import CanEnvCfg
from zprl.tasks.common import WIDE_VIEW, VisualTabletop
from zprl.tasks.robots.franka_panda import FRANKA_PANDA


@configclass
class FrankaCanEnvCfg(CanEnvCfg):
    """A Franka Panda moves a can from one bin into another."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(FRANKA_PANDA)


@configclass
class FrankaCanVisualEnvCfg(VisualTabletop, FrankaCanEnvCfg):
    """A Franka Panda moves a can that it sees from one bin into another."""

    front_camera = WIDE_VIEW
