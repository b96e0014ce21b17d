# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The lift task with a Franka Panda."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.common import VisualTabletop
from zprl.tasks.lift.lift_env_cfg import LiftEnvCfg
from zprl.tasks.robots.franka_panda import FRANKA_PANDA


@configclass
class FrankaLiftEnvCfg(LiftEnvCfg):
    """A Franka Panda lifts a cube."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(FRANKA_PANDA)


@configclass
class FrankaLiftVisualEnvCfg(VisualTabletop, FrankaLiftEnvCfg):
    """A Franka Panda lifts a cube that it sees."""
