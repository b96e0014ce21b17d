# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The physics engines that a task can be run with."""

from __future__ import annotations

from dataclasses import MISSING

from isaaclab.physics import PhysicsCfg, PhysxAutoCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg
from isaaclab_ov.physics import OvPhysxCfg
from isaaclab_physx.physics import PhysxCfg
from isaaclab_tasks.utils import PresetCfg

from zprl.sim.isaaclab.mujoco import with_mujoco


@configclass
class PhysicsPresetsCfg(PresetCfg):
    """Physics engines, chosen by ``physics=NAME``; by default MuJoCo's, its own on a CPU and MuJoCo-Warp on a GPU."""

    newton_mjwarp: NewtonCfg = MISSING  # type: ignore[assignment]
    mujoco: NewtonCfg = MISSING  # type: ignore[assignment]
    isaacsim_physx: PhysxCfg = MISSING  # type: ignore[assignment]
    ovphysx: OvPhysxCfg = MISSING  # type: ignore[assignment]
    physx: PhysxAutoCfg = MISSING  # type: ignore[assignment]
    default: PhysicsCfg = MISSING  # type: ignore[assignment]


def physics_presets(control_period: float, substep: float, njmax: int, nconmax: int) -> PhysicsPresetsCfg:
    """Return the engines with the time steps of a task.

    Args:
        control_period: Time between two actions [s].
        substep: Physics time step [s].
        njmax: Largest number of constraints of a world that MuJoCo-Warp has room for.
        nconmax: Largest number of contacts of a world that MuJoCo-Warp has room for.
    """
    # All substeps of a control step run in one engine call (num_substeps), as nothing in between needs Python.
    newton_mjwarp = NewtonCfg(
        solver_cfg=MJWarpSolverCfg(
            solver="newton",
            integrator="implicitfast",
            cone="pyramidal",
            impratio=1.0,
            # With 5 the friction of a grasp has not converged, and cubes slip out of pads that would hold ten times
            # their weight; from 10 on nothing changes. The CPU's engine stops as soon as it has converged.
            iterations=20,
            ls_iterations=50,
            njmax=njmax,
            nconmax=nconmax,
            disable_sensors=True,
        ),
        num_substeps=round(control_period / substep),
    )
    isaacsim_physx, ovphysx = PhysxCfg(bounce_threshold_velocity=0.01), OvPhysxCfg()
    return PhysicsPresetsCfg(
        newton_mjwarp=newton_mjwarp,
        mujoco=with_mujoco(newton_mjwarp),
        isaacsim_physx=isaacsim_physx,
        ovphysx=ovphysx,
        physx=PhysxAutoCfg(isaacsim_physx=isaacsim_physx, ovphysx=ovphysx),
        default=with_mujoco(newton_mjwarp, mjwarp_on_cuda=True),
    )
