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
    return _redrawn(mdp.randomize_rigid_body_mass, body, mass_distribution_params=factor, **_SCALED, min_mass=1.0e-3)


def randomized_friction(bodies: SceneEntityCfg | Any, coefficient: tuple[float, float]) -> EventTermCfg:
    """Return a term that replaces the friction of bodies.

    Args:
        bodies: The rigid body, or the bodies of an articulation.
        coefficient: Range of the static and the dynamic friction coefficient.
    """
    return _redrawn(
        mdp.randomize_rigid_body_material,
        bodies,
        static_friction_range=coefficient,
        dynamic_friction_range=coefficient,
        restitution_range=(0.0, 0.0),
        num_buckets=64,
        make_consistent=True,
    )


def randomized_gains(joints: SceneEntityCfg | Any, factor: tuple[float, float]) -> EventTermCfg:
    """Return a term that multiplies stiffness and damping of drives, joint by joint.

    Args:
        joints: The joints of an articulation.
        factor: Range of the factors, drawn log-uniformly.
    """
    ranges = {"stiffness_distribution_params": factor, "damping_distribution_params": factor}
    return _redrawn(mdp.randomize_actuator_gains, joints, **ranges, **_SCALED)


_SCALED = {"operation": "scale", "distribution": "log_uniform"}


def _redrawn(function: Any, entity: Any, **params: Any) -> EventTermCfg:
    return EventTermCfg(func=function, mode="reset", params={"asset_cfg": entity, **params})
