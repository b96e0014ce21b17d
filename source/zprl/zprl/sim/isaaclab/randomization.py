# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Event terms that draw a world's physics anew at every reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from isaaclab.envs import mdp
from isaaclab.managers import EventTermCfg, SceneEntityCfg
from isaaclab.utils.math import sample_uniform

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv


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


def randomized_radius(sphere: SceneEntityCfg, radius: tuple[float, float]) -> EventTermCfg:
    """Return a term that replaces the radius of a rigid body that is one sphere, on ``physics=mujoco`` only.

    MuJoCo-Warp keeps the bounding spheres of its geometries as they were compiled, and PhysX its shapes.

    Args:
        sphere: The rigid body.
        radius: Range of the radius [m], drawn uniformly.
    """
    return _redrawn(randomize_sphere_radius, sphere, radius=radius)


def randomize_sphere_radius(
    env: ManagerBasedEnv, env_ids: torch.Tensor | slice, radius: tuple[float, float], asset_cfg: SceneEntityCfg
) -> None:
    """Draw radii of a solid sphere; see :func:`randomized_radius`. Its mass stays, and its inertia follows."""
    from newton import ModelFlags

    from isaaclab_newton.physics import NewtonManager

    asset = env.scene[asset_cfg.name]
    radii = sphere_radii(env, asset_cfg.name)
    rows = torch.arange(env.num_envs, device=env.device)[env_ids]
    radii[rows] = sample_uniform(*radius, (len(rows),), device=env.device)
    NewtonManager.add_model_change(ModelFlags.SHAPE_PROPERTIES)
    inertia = 0.4 * asset.data.body_mass.torch[rows, 0] * radii[rows] ** 2
    tensors = inertia[:, None] * torch.eye(3, device=env.device).flatten()
    asset.set_inertias_index(inertias=tensors[:, None], env_ids=rows.tolist())


def sphere_radii(env: ManagerBasedEnv, name: str) -> torch.Tensor:
    """Return the radii of a rigid body that is one sphere, shape (num_envs,) [m], in the simulator's own memory.

    Args:
        env: An environment on one of Newton's engines.
        name: The body, by its name in the scene.
    """
    from isaaclab_newton.physics import NewtonManager

    view: Any = env.scene[name]._root_view
    return wp.to_torch(view.get_attribute("shape_scale", NewtonManager.get_model())[:, 0])[:, 0, 0]


_SCALED = {"operation": "scale", "distribution": "log_uniform"}


def _redrawn(function: Any, entity: Any, **params: Any) -> EventTermCfg:
    return EventTermCfg(func=function, mode="reset", params={"asset_cfg": entity, **params})
