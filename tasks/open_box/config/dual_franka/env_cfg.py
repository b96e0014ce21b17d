# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The open-box task with two Franka Pandas."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.open_box.open_box_env_cfg import OpenBoxEnvCfg
from zprl.tasks.robots.dual_franka import dual_franka


@configclass
class DualFrankaOpenBoxEnvCfg(OpenBoxEnvCfg):
    """Two Franka Pandas, side by side, open a box."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(dual_franka("side_by_side"))
