# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author the egg as USD: three plates in a row, the middle one free and the others on hinges, with a rounded rim.

Run ``python -m zprl.tasks.flip_egg.egg_usd`` to write :data:`EGG_USD` anew; a test keeps it in step.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from pxr import Sdf

from zprl.tasks.flip_egg.flip_egg_env_cfg import EDGE, EGG_FRICTION, EGG_USD, MASS, SUBSTEP, THICKNESS
from zprl.tasks.robots.assets.authoring import Joint, Link, Look, Shape, Vec3, write_articulation

HALF_PI = math.pi / 2

Inertia = tuple[float, float, float, float, float, float]

LOOKS = {
    "White": Look((0.93, 0.92, 0.86), 0.5, friction=EGG_FRICTION),
    "Yolk": Look((0.95, 0.62, 0.08), 0.4),
    "Fried": Look((0.62, 0.42, 0.20), 0.8),
}

# As stiff as the physics' steps allow, whatever it touches: thin plates are not to sink in.
_CONTACT = {
    "priority": (Sdf.ValueTypeNames.Int, 1),
    "solref": (Sdf.ValueTypeNames.DoubleArray, [2 * SUBSTEP, 1.0]),
}

BEND = 1.0
"""How far an outer plate bends up or down [rad]."""


def egg_links(size: float) -> list[Link]:
    """Return the plates of an egg that is so many times as wide as usual and of the same mass and thickness."""
    width = size * EDGE / 3
    middle = Link(
        "egg", None, (0, 0, 0), (0, 0, 0), None, *_body(0.0, width, size),
        [*_plate(0.0, width, size, 0), *_faces(size)],
    )  # fmt: skip
    return [middle, *(_side(name, side, width, size) for name, side in (("left", -1), ("right", 1)))]


def _side(name: str, side: int, width: float, size: float) -> Link:
    """Return an outer plate, whose frame is in its hinge."""
    place, middle = side * width / 2, side * width / 2
    hinge = Joint(f"{name}_hinge", "revolute", (-BEND, BEND), 10.0, "Y")
    shapes = _plate(middle, width, size, side)
    return Link(name, "egg", (place, 0, 0), (0, 0, 0), hinge, *_body(middle, width, size), shapes)


def _body(middle: float, width: float, size: float) -> tuple[float, Vec3, Inertia]:
    """Return mass, centre of mass and inertia of a plate, those of a box."""
    mass, x, y, z = MASS / 3, width, size * EDGE, THICKNESS
    moments = (mass * (y * y + z * z) / 12, mass * (x * x + z * z) / 12, mass * (x * x + y * y) / 12)
    return mass, (middle, 0.0, 0.0), (*moments, 0.0, 0.0, 0.0)


def _plate(middle: float, width: float, size: float, side: int) -> list[Shape]:
    """Return the shapes of a plate; a blade gets under rounded edges, and pushes against upright ones.

    Args:
        middle: x of the plate's middle in its link's frame [m].
        width: Width of the plate along x [m].
        size: How many times as wide as usual the egg is.
        side: On which side of the egg it is, -1, 0 for the middle, or 1.
    """
    radius, half = THICKNESS / 2, size * EDGE / 2
    low = middle - width / 2 + (radius if side < 0 else 0.0)
    high = middle + width / 2 - (radius if side > 0 else 0.0)
    center, length = (low + high) / 2, high - low
    # The plates rest on their rims: a box that lies flat costs four more contacts.
    shapes = [Shape("box", (length, 2 * (half - radius), THICKNESS - 0.002), (center, 0.0, 0.0), look="White")]
    for y in (radius - half, half - radius):
        shapes += [Shape("capsule", (radius, length), (center, y, 0.0), (0.0, HALF_PI, 0.0), "White")]
    if side:
        x = high if side > 0 else low
        shapes.append(Shape("capsule", (radius, 2 * (half - radius)), (x, 0.0, 0.0), (HALF_PI, 0.0, 0.0), "White"))
    return [form for shape in shapes for form in (replace(shape, collider=True, mujoco=_CONTACT), shape)]


def _faces(size: float) -> list[Shape]:
    """Return what tells the upper side from the lower one, to the eye."""
    depth = 0.001
    yolk = Shape("cylinder", (0.4 * size * EDGE / 2, depth), (0.0, 0.0, THICKNESS / 2), look="Yolk")
    return [yolk, Shape("cylinder", (0.6 * size * EDGE / 2, depth / 2), (0.0, 0.0, -THICKNESS / 2), look="Fried")]


def write_egg(path: Path, size: float = 1.0) -> Path:
    """Author an egg of a size as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "Egg", egg_links(size), LOOKS, floating=True)


if __name__ == "__main__":
    print(f"Wrote {write_egg(EGG_USD)}")
