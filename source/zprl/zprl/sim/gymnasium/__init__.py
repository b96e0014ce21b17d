# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium behind one door: any vector environment of it as a task's environment. Nothing here needs Isaac Lab."""

from zprl.sim.gymnasium.task_env import GymnasiumEnv as GymnasiumEnv
from zprl.sim.gymnasium.worlds_cfg import CFG_ENTRY_POINT as CFG_ENTRY_POINT
from zprl.sim.gymnasium.worlds_cfg import WorldsCfg as WorldsCfg
