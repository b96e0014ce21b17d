# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's physics manager for MuJoCo's CPU engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from newton.solvers import SolverMuJoCo

from isaaclab_newton.physics import NewtonManager
from isaaclab_newton.physics.mjwarp_manager import NewtonMJWarpManager

from zprl.sim.isaaclab.mujoco.mujoco_cfg import NO_CUDA
from zprl.sim.isaaclab.mujoco.mujoco_solver import MujocoSolver, check_installed_versions
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    import warp as wp
    from newton import Model

    from zprl.sim.isaaclab.mujoco.mujoco_cfg import MujocoSolverCfg

_READERS = {
    "body_parent_f": "joint wrench sensors",
    "body_qdd": "IMU and PVA sensors",
    "mujoco:qfrc_actuator": "actuator forces in the joints",
}
"""What reads each of Newton's state attributes that this engine does not fill."""


class NewtonMujocoManager(NewtonMJWarpManager):
    """:class:`NewtonMJWarpManager` with :class:`MujocoSolver` in place of MuJoCo-Warp.

    The engine is called once for all substeps of a physics step, since nothing between them needs Python: commands,
    applied forces and mocap poses stay as they are. (The name starts with "Newton", by which Isaac Lab finds the
    implementation of its assets.)
    """

    @classmethod
    def _create_solver(cls, model: Model, solver_cfg: MujocoSolverCfg) -> SolverMuJoCo:
        if model.device.is_cuda:
            if solver_cfg.mjwarp_on_cuda:
                return super()._create_solver(model, solver_cfg)
            raise ZprlError(NO_CUDA.format(device=model.device))
        check_installed_versions()
        cls._refuse_what_is_missing(model, solver_cfg)
        options = cls._filter_solver_kwargs(SolverMuJoCo, solver_cfg)
        options.pop("ls_parallel", None)
        return MujocoSolver(model, threads=solver_cfg.threads, **options)

    @classmethod
    def _refuse_what_is_missing(cls, model: Model, solver_cfg: MujocoSolverCfg) -> None:
        """Raise a :class:`ZprlError` if the scene needs what only MuJoCo-Warp can give."""
        missing = [reader for name, reader in _READERS.items() if name in model.get_requested_state_attributes()]
        if cls._newton_contact_sensors or model.get_requested_contact_attributes():
            missing.insert(0, "contact sensors")
        if not solver_cfg.use_mujoco_contacts:
            missing.append("Newton's collision detection (use_mujoco_contacts=False)")
        if missing:
            raise ZprlError(
                f"physics=mujoco does not support {', '.join(missing)}, which this task uses; choose"
                " physics=newton_mjwarp."
            )

    @classmethod
    def _run_solver_substeps(cls, contacts: Any) -> None:
        if not cls._steps_together():
            super()._run_solver_substeps(contacts)
            return
        cls._advance(cls._num_substeps)

    @classmethod
    def _simulate_full(cls) -> None:
        if cls._adapter is not None or cls._post_actuator_callbacks or not cls._steps_together():
            super()._simulate_full()
            return
        cls._advance(cls._decimation * cls._num_substeps)
        for callback in cls._post_step_callbacks:
            callback()
        cls._update_sensors(None)

    @classmethod
    def _is_all_graphable(cls) -> bool:
        """Whether one call of :meth:`step` covers the whole ``decimation``."""
        cfg = NewtonManager._cfg
        held = cfg is not None and cfg.solver_cfg.constant_command and cls._adapter is None
        return held or super()._is_all_graphable()

    @classmethod
    def _reset_solver_internals(cls, world_mask: wp.array | None) -> None:
        """Clear what a world's next step would take over from its last one; here those are activations alone."""
        solver = cls._solver
        if not isinstance(solver, MujocoSolver) or solver.has_activations:
            super()._reset_solver_internals(world_mask)

    @classmethod
    def _steps_together(cls) -> bool:
        solver = cls._solver
        return isinstance(solver, MujocoSolver) and solver.inputs_are_constant and not cls._state_force_callbacks

    @classmethod
    def _advance(cls, steps: int) -> None:
        solver, backend = cls._solver, cls.backend
        assert isinstance(solver, MujocoSolver) and backend is not None
        assert backend.state_0 is not None and backend.control is not None
        # The forces on bodies are where they were written: one call takes all steps, so none is lost in between.
        solver.advance(backend.state_0, backend.control, cls._solver_dt, steps)
        backend.state_0.clear_forces()

    @classmethod
    def _log_solver_debug(cls) -> None:
        """Do nothing on the CPU: the engine keeps its iteration counts to itself."""
        if not isinstance(cls._solver, MujocoSolver):
            super()._log_solver_debug()
