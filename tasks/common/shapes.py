# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Shapes that the tasks' things are made of."""

from __future__ import annotations

import math

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg

from zprl.tasks.common.compound import CompoundCfg, CompoundPartCfg, Vec3

TABLE_COLOR: Vec3 = (0.46, 0.38, 0.30)


def box(
    size: Vec3, pos: Vec3, *, yaw: float = 0.0, color: Vec3 = TABLE_COLOR, friction: float = 1.0
) -> CompoundPartCfg:
    """Return a box that collides.

    Args:
        size: Edge lengths [m].
        pos: Centre [m].
        yaw: Angle about the z axis [rad].
        color: Linear RGB.
        friction: Coefficient of sliding friction.
    """
    return CompoundPartCfg(
        spawn=sim_utils.CuboidCfg(
            size=size,
            collision_props=sim_utils.UsdPhysicsCollisionCfg(),
            physics_material=sim_utils.RigidBodyMaterialCfg(static_friction=friction, dynamic_friction=friction),
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=color, roughness=0.6),
        ),
        pos=pos,
        rot=(0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)),
    )


def open_bin(inner: Vec3, wall: float, pos: Vec3, *, color: Vec3 = TABLE_COLOR) -> list[CompoundPartCfg]:
    """Return a floor and four walls.

    Args:
        inner: Length, width and depth of the space inside [m].
        wall: Thickness of floor and walls [m].
        pos: Centre of the floor's upper side [m].
        color: Linear RGB.
    """
    length, width, depth = inner
    x, y, z = pos
    long = length + 2 * wall
    parts = [box((long, width + 2 * wall, wall), (x, y, z - wall / 2), color=color)]
    for side in (-1, 1):
        parts.append(box((wall, width, depth), (x + side * (length + wall) / 2, y, z + depth / 2), color=color))
        parts.append(box((long, wall, depth), (x, y + side * (width + wall) / 2, z + depth / 2), color=color))
    return parts


def prism(radius: float, height: float, boxes: int, *, color: Vec3, friction: float) -> list[CompoundPartCfg]:
    """Return an upright regular prism with ``2 * boxes`` sides: a can or a puck.

    Boxes rest on what is flat with several contact points, where a cylinder goes through the general convex solver.

    Args:
        radius: Distance of the sides from the axis [m].
        height: Height [m].
        boxes: Number of boxes that make it up.
        color: Linear RGB.
        friction: Coefficient of sliding friction.
    """
    turn = math.pi / boxes
    size = (2 * radius, 2 * radius * math.tan(turn / 2), height)
    return [box(size, (0.0, 0.0, 0.0), yaw=turn * i, color=color, friction=friction) for i in range(boxes)]


def ring(radius: float, height: float, wall: float, boxes: int, z: float, *, color: Vec3) -> list[CompoundPartCfg]:
    """Return an upright ring of boxes: a cup's wall or a dish's rim.

    Args:
        radius: Distance of the inner sides from the axis [m].
        height: Height [m].
        wall: Thickness [m].
        boxes: Number of boxes.
        z: Height of the lower side [m].
        color: Linear RGB.
    """
    turn = 2 * math.pi / boxes
    middle = radius + wall / 2
    size = (wall, 2 * (radius + wall) * math.tan(turn / 2), height)
    return [
        box(size, (middle * math.cos(turn * i), middle * math.sin(turn * i), z + height / 2), yaw=turn * i, color=color)
        for i in range(boxes)
    ]


def fixture(name: str, parts: list[CompoundPartCfg], pos: Vec3) -> RigidObjectCfg:
    """Return a thing that an episode's beginning puts somewhere and that nothing moves then.

    Args:
        name: Name of its prim.
        parts: Its shapes.
        pos: Where it is first [m].
    """
    collides = any(part.spawn.collision_props is not None for part in parts)
    return RigidObjectCfg(
        prim_path=f"{{ENV_REGEX_NS}}/{name}",
        init_state=RigidObjectCfg.InitialStateCfg(pos=pos),
        spawn=CompoundCfg(
            parts=parts,
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(kinematic_enabled=True),
            mass_props=sim_utils.MassCfg(mass=1.0),
            # Any will do, but an engine asks for one, and shapes that nothing touches give none.
            inertia=None if collides else (1e-3, 1e-3, 1e-3),
        ),
    )
