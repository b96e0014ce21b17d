# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""MuJoCo's own CPU engine as a physics engine of Isaac Lab: ``physics=mujoco``.

Isaac Lab's Newton backend keeps the scene, the state and all assets; only the solve is replaced::

    Isaac Lab assets  ->  Newton state  ->  MuJoCo coordinates  ->  mujoco.rollout, all substeps, all worlds, all cores
                          Newton state  <-  MuJoCo coordinates  <-
"""

from zprl.sim.isaaclab.mujoco.mujoco_cfg import MujocoSolverCfg, choose_engine, offer_mujoco_preset, with_mujoco

__all__ = ["MujocoSolverCfg", "choose_engine", "offer_mujoco_preset", "with_mujoco"]
