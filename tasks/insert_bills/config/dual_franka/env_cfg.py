# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The insert-bills task with two Franka Pandas."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.insert_bills.insert_bills_env_cfg import InsertBillsEnvCfg
from zprl.tasks.robots.dual_franka import dual_franka


@configclass
class DualFrankaInsertBillsEnvCfg(InsertBillsEnvCfg):
    """Two Franka Pandas, side by side, insert a bill."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(dual_franka("side_by_side", squeeze=0.02))  # the bill is 2 mm thick
