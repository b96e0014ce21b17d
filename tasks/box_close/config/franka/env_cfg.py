# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The box-close task with a Franka Panda."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.box_close.box_close_env_cfg import BoxCloseEnvCfg
from zprl.tasks.common import FAR_VIEW, VisualTabletop
from zprl.tasks.robots.franka_panda import FRANKA_PANDA


@configclass
class FrankaBoxCloseEnvCfg(BoxCloseEnvCfg):
    """A Franka Panda puts the lid on a box."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(FRANKA_PANDA)


@configclass
class FrankaBoxCloseVisualEnvCfg(VisualTabletop, FrankaBoxCloseEnvCfg):
    """A Franka Panda puts the lid on a box that it sees."""

    front_camera = FAR_VIEW
