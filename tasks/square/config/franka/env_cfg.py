# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The square task with a Franka Panda."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.common import FAR_VIEW, VisualTabletop
from zprl.tasks.robots.franka_panda import FRANKA_PANDA
from zprl.tasks.square.square_env_cfg import SquareEnvCfg


@configclass
class FrankaSquareEnvCfg(SquareEnvCfg):
    """A Franka Panda puts a square nut over a square peg."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(FRANKA_PANDA)


@configclass
class FrankaSquareVisualEnvCfg(VisualTabletop, FrankaSquareEnvCfg):
    """A Franka Panda puts a square nut that it sees over a square peg."""

    front_camera = FAR_VIEW
