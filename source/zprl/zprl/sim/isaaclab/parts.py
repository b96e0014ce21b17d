# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a control step of Isaac Lab consists of: managers and their terms, resets, physics, conversions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zprl.utils.spans import Part

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

_SOLVER_PARTS = {
    "_take_over_changes": "changed masses, frictions, gains",
    "_apply_mjc_control": "command to MuJoCo",
    "_update_mjc_data": "state to MuJoCo",
    "_roll_out": "MuJoCo",
    "_update_newton_state": "state from MuJoCo",
}
"""What :class:`zprl.sim.isaaclab.mujoco.mujoco_solver.MujocoSolver` does in a step."""


def simulator_parts(env: ManagerBasedRLEnv) -> list[Part]:
    """Return the parts of an environment's step, which lie within one another as they call one another."""
    return [
        Part("actions", env.action_manager, "process_action"),
        Part("commands", env.action_manager, "apply_action"),
        Part("scene to physics", env.scene, "write_data_to_sim"),
        Part("physics", env.sim, "step"),
        Part("physics to scene", env.scene, "update"),
        Part("terminations", env.termination_manager, "compute"),
        Part("rewards", env.reward_manager, "compute"),
        Part("resets", env, "_reset_idx"),
        Part("reset of the scene", env.scene, "reset"),
        Part("events", env.event_manager, "apply"),
        Part("observations", env.observation_manager, "compute"),
        *_terms(env),
        *_cameras(env),
        *_solver_parts(),
    ]


def _terms(env: ManagerBasedRLEnv) -> Iterator[Part]:
    for name in env.action_manager.active_terms:
        term = env.action_manager.get_term(name)
        yield Part(f"action {name}", term, "process_actions")
        yield Part(f"command {name}", term, "apply_actions")
    managers: list[Any] = [env.termination_manager, env.reward_manager]
    for manager, kind in zip(managers, ("termination", "reward"), strict=True):
        for name in manager.active_terms:
            yield Part(f"{kind} {name}", manager.get_term_cfg(name), "func")
    for names in env.event_manager.active_terms.values():
        for name in names:
            yield Part(f"event {name}", env.event_manager.get_term_cfg(name), "func")
    observations = env.observation_manager
    for group, names in observations.active_terms.items():
        for name, cfg in zip(names, observations._group_obs_term_cfgs[group], strict=True):
            yield Part(f"observation {name}", cfg, "func")


def _cameras(env: ManagerBasedRLEnv) -> Iterator[Part]:
    from zprl.sim.isaaclab.cameras.scene_cameras import cameras_of

    if (cameras := cameras_of(env)) is not None:
        yield Part("images", cameras, "draw")


def _solver_parts() -> Iterator[Part]:
    from isaaclab_newton.physics import NewtonManager  # not before the runtime is configured

    solver = NewtonManager._solver
    for attribute, name in _SOLVER_PARTS.items():
        if hasattr(solver, attribute):
            yield Part(name, solver, attribute)
