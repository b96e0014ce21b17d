# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The push-wall task with a Franka Panda."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.common import FAR_VIEW, VisualTabletop
from zprl.tasks.push_wall.push_wall_env_cfg import PushWallEnvCfg
from zprl.tasks.robots.franka_panda import franka_panda


@configclass
class FrankaPushWallEnvCfg(PushWallEnvCfg):
    """A Franka Panda brings a puck around a wall."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # The puck is heavy, and the table as rough as the pads.
        self.use_robot(franka_panda(squeeze=0.03))


@configclass
class FrankaPushWallVisualEnvCfg(VisualTabletop, FrankaPushWallEnvCfg):
    """A Franka Panda brings a puck that it sees around a wall."""

    front_camera = FAR_VIEW
