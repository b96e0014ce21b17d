# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Configuration of MuJoCo's CPU engine, and ``physics=mujoco`` for the tasks of others."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from isaaclab.utils import configclass
from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg
from isaaclab_tasks.utils import hydra

from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnvCfg

    from zprl.sim.isaaclab.mujoco.mujoco_manager import NewtonMujocoManager


NO_CUDA = (
    "physics=mujoco runs on the CPU only, but the device is {device}; choose physics=newton_mjwarp or --device cpu."
)


@configclass
class MujocoSolverCfg(MJWarpSolverCfg):
    """Settings of MuJoCo's CPU engine: those of MuJoCo-Warp, which mean the same, and the number of threads.

    What sizes MuJoCo-Warp's buffers (``njmax``, ``nconmax``) is not needed here: the engine grows its own.
    """

    class_type: type[NewtonMujocoManager] | str = "{DIR}.mujoco_manager:NewtonMujocoManager"  # type: ignore[assignment]

    solver_type: str = "mujoco"

    threads: int = 0
    """Number of threads that step the worlds, or 0 for one per core. Results do not depend on it."""

    mjwarp_on_cuda: bool = False
    """Whether a CUDA device is left to MuJoCo-Warp; otherwise it is refused, since this engine has no GPU code."""

    constant_command: bool = False
    """Whether the command may be held for a whole control step, so that ``decimation`` takes one engine call as well.

    Isaac Lab then applies the action once per control step instead of once per physics step. That is the same for
    joint targets, but not for action terms that follow the state, such as its own differential inverse kinematics.
    """


def with_mujoco(newton: NewtonCfg, mjwarp_on_cuda: bool = False) -> NewtonCfg:
    """Return a Newton configuration that simulates the same with MuJoCo's CPU engine.

    Args:
        newton: A configuration whose solver is MuJoCo-Warp; it stays as it is.
        mjwarp_on_cuda: See :attr:`MujocoSolverCfg.mjwarp_on_cuda`.
    """
    return _with_solver(newton, MujocoSolverCfg, mjwarp_on_cuda=mjwarp_on_cuda)


def choose_engine(env_cfg: ManagerBasedRLEnvCfg, device: str) -> str:
    """Settle on MuJoCo's CPU engine or MuJoCo-Warp where the configuration leaves that to the device.

    Args:
        env_cfg: The environment's configuration; its physics may be replaced.
        device: "cpu" or "cuda[:N]".

    Returns:
        The preset name of the physics engine.

    Raises:
        ZprlError: If MuJoCo's CPU engine was chosen for a CUDA device.
    """
    physics: Any = env_cfg.sim.physics
    solver = getattr(physics, "solver_cfg", None)
    if isinstance(solver, MujocoSolverCfg):
        if device == "cpu":
            solver.mjwarp_on_cuda = False
            return "mujoco"
        if not solver.mjwarp_on_cuda:
            raise ZprlError(NO_CUDA.format(device=device))
        env_cfg.sim.physics = _with_solver(physics, MJWarpSolverCfg)
    kind = type(physics).__name__
    return {"NewtonCfg": "newton_mjwarp", "PhysxCfg": "isaacsim_physx", "OvPhysxCfg": "ovphysx"}.get(kind, kind)


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


def _with_solver(newton: NewtonCfg, kind: type[MJWarpSolverCfg], **changes: Any) -> NewtonCfg:
    own = {"class_type", "solver_type"}
    options = {f.name: getattr(newton.solver_cfg, f.name) for f in fields(MJWarpSolverCfg) if f.name not in own}
    values = {f.name: getattr(newton, f.name) for f in fields(newton) if f.name not in ("class_type", "solver_cfg")}
    return NewtonCfg(solver_cfg=kind(**options, **changes), **values)
