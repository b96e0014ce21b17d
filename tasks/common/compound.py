# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Spawner of one thing that is made of several primitive shapes: a bin, a nut, a cup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

from isaaclab.sim import schemas
from isaaclab.sim.spawners.shapes.shapes_cfg import ShapeCfg
from isaaclab.sim.spawners.spawner_cfg import RigidObjectSpawnerCfg
from isaaclab.sim.spawners.utils import apply_schema_props
from isaaclab.sim.utils import clone, create_prim, get_current_stage
from isaaclab.utils import configclass

if TYPE_CHECKING:
    from pxr import Usd

Vec3 = tuple[float, float, float]


@configclass
class CompoundPartCfg:
    """A shape and its place in the whole."""

    spawn: ShapeCfg = MISSING  # type: ignore[assignment]
    """The shape, with what it collides as and looks like, and without mass."""

    pos: Vec3 = (0.0, 0.0, 0.0)
    """Its centre in the whole's frame [m]."""

    rot: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    """Its orientation there, a quaternion (x, y, z, w)."""


@clone
def spawn_compound(
    prim_path: str,
    cfg: CompoundCfg,
    translation: Vec3 | None = None,
    orientation: tuple[float, float, float, float] | None = None,
    **kwargs: Any,
) -> Usd.Prim:
    """Create a prim with one child for each part.

    Args:
        prim_path: Path of the prim, or a pattern of paths.
        cfg: The parts, and the mass and rigid body of the whole.
        translation: Place in the parent's frame [m].
        orientation: Orientation there, a quaternion (x, y, z, w).
        **kwargs: Taken by :func:`isaaclab.sim.utils.clone`.

    Returns:
        The prim.
    """
    stage = get_current_stage()
    prim = create_prim(prim_path, "Xform", translation=translation, orientation=orientation, stage=stage)
    for number, part in enumerate(cfg.parts):
        spawn: Any = part.spawn.func
        spawn(f"{prim_path}/part_{number}", part.spawn, translation=part.pos, orientation=part.rot)
    # Last, as Isaac Lab's own shapes do it.
    for props, apply, define in (
        (cfg.mass_props, schemas.apply_mass_properties, schemas.define_mass_properties),
        (cfg.rigid_props, schemas.apply_rigid_body_properties, schemas.define_rigid_body_properties),
    ):
        if props is not None:
            apply_schema_props(props, prim_path, apply, define, stage)
    if cfg.inertia is not None:
        from pxr import Gf, UsdPhysics  # the configuration is read before the simulator starts

        mass = UsdPhysics.MassAPI.Apply(prim)
        mass.CreateDiagonalInertiaAttr(Gf.Vec3f(*cfg.inertia))  # type: ignore[reportAttributeAccessIssue]
        mass.CreatePrincipalAxesAttr(Gf.Quatf(1.0))  # type: ignore[reportAttributeAccessIssue]
        mass.CreateCenterOfMassAttr(Gf.Vec3f(*cfg.center_of_mass))  # type: ignore[reportAttributeAccessIssue]
    return prim


@configclass
class CompoundCfg(RigidObjectSpawnerCfg):
    """Several shapes that do not move against each other: one rigid body, or, without ``rigid_props``, scenery."""

    func: Callable | str = spawn_compound

    parts: list[CompoundPartCfg] = MISSING  # type: ignore[assignment]
    """The shapes."""

    inertia: Vec3 | None = None
    """Moments of inertia about axes through the centre of mass that are parallel to the whole's [kg m^2], or None for
    what follows from the shapes."""

    center_of_mass: Vec3 = (0.0, 0.0, 0.0)
    """The centre of mass in the whole's frame [m], where :attr:`inertia` is given."""
