# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Task definitions, robots and scripted experts; importing this package registers every ``Zprl-*`` task."""

from isaaclab_tasks.utils import import_packages

from zprl.sim.isaaclab.mujoco import offer_mujoco_preset

# Only the families register tasks; the names are parts of dotted paths.
import_packages(__name__, [".mdp", *(f"{__name__}.{shared}" for shared in ("common", "experts", "robots"))])

offer_mujoco_preset()
