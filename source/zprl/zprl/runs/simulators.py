# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Which simulator a task is made for: its registration says so. The other one is not imported."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from zprl.sim.gymnasium.settings import is_gymnasium_task
from zprl.sim.gymnasium.worlds_cfg import WorldsCfg
from zprl.sim.simulator import Simulator


def simulator_of(task: str) -> Simulator:
    """Return the simulator of a task: Isaac Lab, unless it registers worlds of Gymnasium's."""
    import zprl.tasks  # noqa: F401 - registers this project's own

    if is_gymnasium_task(task):
        from zprl.sim.gymnasium.simulator import GymnasiumSimulator

        return GymnasiumSimulator()
    from zprl.sim.isaaclab.simulator import IsaacLab

    return IsaacLab()


def recording_of(env_cfg: Any) -> ModuleType:
    """Return the module that records demonstrations in the environments of a configuration."""
    if isinstance(env_cfg, WorldsCfg):
        from zprl.sim.gymnasium import recording
    else:
        from zprl.sim.isaaclab import recording
    return recording
