# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The flip-egg task with a Franka Panda that has a spatula."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.flip_egg.flip_egg_env_cfg import FlipEggEnvCfg
from zprl.tasks.robots.franka_panda import FRANKA_SPATULA


@configclass
class FrankaFlipEggEnvCfg(FlipEggEnvCfg):
    """A Franka Panda with a spatula turns a fried egg over."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(FRANKA_SPATULA)
