# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Task definitions, robots and scripted experts; importing this package registers every ``Zprl-*`` task.

Registering needs no Isaac Lab: configurations are imported when a task is made, and not all tasks are Isaac Lab's.
"""

import importlib
import pkgutil
import sys

_SHARED = ("common", "experts", "mdp", "robots")
"""Packages that register nothing."""

for _family in pkgutil.iter_modules(__path__, f"{__name__}."):
    if _family.ispkg and _family.name.rpartition(".")[2] not in _SHARED:
        _package = importlib.import_module(_family.name)
        for _part in pkgutil.walk_packages(_package.__path__, f"{_family.name}."):
            if _part.ispkg:
                importlib.import_module(_part.name)

if "isaaclab_tasks" in sys.modules:  # one of Isaac Lab's own commands, which finds the tasks by their entry point
    from zprl.sim.isaaclab.mujoco import offer_mujoco_preset

    offer_mujoco_preset()
