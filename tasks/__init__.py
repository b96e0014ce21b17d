# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Task definitions, assets and scripted experts; importing this package registers every ``Zprl-*`` task."""

from isaaclab_tasks.utils import import_packages

from zprl.sim.isaaclab.mujoco import offer_mujoco_preset

# The "mdp" packages export lazily; everything else registers its tasks on import.
import_packages(__name__, ["utils", ".mdp", ".assets", ".experts"])

offer_mujoco_preset()
