# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""``physics=mujoco`` for the tasks of others."""

from __future__ import annotations

import functools
from typing import Any

from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg
from isaaclab_tasks.utils import hydra

from zprl.sim.isaaclab.mujoco.mujoco_cfg import with_mujoco


def offer_mujoco_preset() -> None:
    """Let every task that has a ``newton_mjwarp`` preset be run with ``physics=mujoco``, and list it so.

    Whatever a task chooses for ``newton_mjwarp``, such as gains or an asset's variant, it chooses for ``mujoco`` too.
    Isaac Lab has no way to add a preset to other people's tasks, so the function that lists a choice's alternatives is
    wrapped. Calling this again changes nothing.
    """
    original = hydra._preset_fields
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def with_mujoco_preset(preset_obj: Any) -> dict[str, Any]:
        alternatives = original(preset_obj)
        newton = alternatives.get("newton_mjwarp")
        if newton is not None and "mujoco" not in alternatives:
            uses_mjwarp = isinstance(newton, NewtonCfg) and isinstance(newton.solver_cfg, MJWarpSolverCfg)
            alternatives["mujoco"] = with_mujoco(newton) if uses_mjwarp else newton
        return alternatives

    hydra._preset_fields = with_mujoco_preset
