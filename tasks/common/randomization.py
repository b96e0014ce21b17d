# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Event terms that draw a world's physics anew at every reset."""

from __future__ import annotations

from typing import Any

from isaaclab.envs import mdp
from isaaclab.managers import EventTermCfg, SceneEntityCfg


def randomized_mass(body: SceneEntityCfg | Any, factor: tuple[float, float]) -> EventTermCfg:
    """Return a term that multiplies a rigid body's mass.

    Args:
        body: The rigid body.
        factor: Range of the factor, drawn log-uniformly.
    """
    params = {
        "asset_cfg": body,
        "mass_distribution_params": factor,
        "operation": "scale",
        "distribution": "log_uniform",
        "min_mass": 1.0e-3,
    }
    return EventTermCfg(func=mdp.randomize_rigid_body_mass, mode="reset", params=params)  # type: ignore[arg-type]


def randomized_friction(bodies: SceneEntityCfg | Any, coefficient: tuple[float, float]) -> EventTermCfg:
    """Return a term that replaces the friction of bodies.

    Args:
        bodies: The rigid body, or the bodies of an articulation.
        coefficient: Range of the static and the dynamic friction coefficient.
    """
    params = {
        "asset_cfg": bodies,
        "static_friction_range": coefficient,
        "dynamic_friction_range": coefficient,
        "restitution_range": (0.0, 0.0),
        "num_buckets": 64,
        "make_consistent": True,
    }
    return EventTermCfg(func=mdp.randomize_rigid_body_material, mode="reset", params=params)  # type: ignore[arg-type]


def randomized_gains(joints: SceneEntityCfg | Any, factor: tuple[float, float]) -> EventTermCfg:
    """Return a term that multiplies stiffness and damping of drives, joint by joint.

    Args:
        joints: The joints of an articulation.
        factor: Range of the factors, drawn log-uniformly.
    """
    params = {
        "asset_cfg": joints,
        "stiffness_distribution_params": factor,
        "damping_distribution_params": factor,
        "operation": "scale",
        "distribution": "log_uniform",
    }
    return EventTermCfg(func=mdp.randomize_actuator_gains, mode="reset", params=params)  # type: ignore[arg-type]
