# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author the box as USD: a hollow base whose top is partly a fixed shelf, and a lid on a hinge with a tab to hold.

Run ``python -m zprl.tasks.open_box.box_usd`` to write :data:`BOX_USD` anew; a test keeps it in step.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pxr import Sdf

from zprl.tasks.open_box.open_box_env_cfg import (
    BASE_MASS,
    BOX_USD,
    DEPTH,
    FRICTION,
    HEIGHT,
    HINGE_LIMIT,
    LID_MASS,
    LID_WIDTH,
    PLATE,
    SHELF,
    TAB,
    TAB_MASS,
    TAB_PLACE,
    WALL,
    WIDTH,
)
from zprl.tasks.robots.assets.authoring import Joint, Link, Look, Shape, Vec3, of_boxes, write_articulation

LOOKS = {
    "Card": Look((0.62, 0.44, 0.26), 0.8, friction=FRICTION),
    "Lid": Look((0.20, 0.42, 0.62), 0.6, friction=FRICTION),
    "Tab": Look((0.80, 0.25, 0.15), 0.6, friction=FRICTION),
}


def _box(size: Vec3, pos: Vec3, look: str = "Card") -> Shape:
    return Shape("box", size, pos, look=look)


INNER = HEIGHT - WALL
"""Height of the walls on the floor [m]."""

BASE = [
    _box((DEPTH, WIDTH, WALL), (0.0, 0.0, WALL / 2)),
    *(_box((WALL, WIDTH, INNER), (side * (DEPTH - WALL) / 2, 0.0, WALL + INNER / 2)) for side in (-1, 1)),
    *(_box((DEPTH - 2 * WALL, WALL, INNER), (0.0, side * (WIDTH - WALL) / 2, WALL + INNER / 2)) for side in (-1, 1)),
    _box((DEPTH - 2 * WALL, SHELF - WALL, WALL), (0.0, (WIDTH - SHELF - WALL) / 2, HEIGHT - WALL / 2)),
]
"""The base's boxes; its frame is in the middle of its lower side, x to the hinge."""

PLATE_OF_LID = [_box((DEPTH, LID_WIDTH, PLATE), (-DEPTH / 2, 0.0, PLATE / 2), "Lid")]
"""The lid's box; its frame is in the middle of the hinge, parallel to the base's while it is shut."""

TAB_ON_LID = [_box(TAB, (0.0, 0.0, 0.0), "Tab")]
"""The tab's box, around its frame."""

# A stiffer friction than MuJoCo's default, with which the lid sinks by 0.08 rad/s under its own weight.
_DRY = {"solimpfriction": (Sdf.ValueTypeNames.DoubleArray, [0.999, 0.9999, 0.001, 0.5, 2.0])}


def _link(name: str, parent: str | None, pos: Vec3, joint: Joint | None, mass: float, shapes: list[Shape]) -> Link:
    solid = [form for shape in shapes for form in (replace(shape, collider=True), shape)]  # renderers hide colliders
    return Link(name, parent, pos, (0.0, 0.0, 0.0), joint, mass, *of_boxes(mass, shapes), solid)


LINKS = [
    _link("base", None, (0.0, 0.0, 0.0), None, BASE_MASS, BASE),
    _link(
        "lid",
        "base",
        (DEPTH / 2, -SHELF / 2, HEIGHT),
        Joint("lid_hinge", "revolute", (0.0, HINGE_LIMIT), 1000.0, "Y", _DRY),
        LID_MASS - TAB_MASS,
        PLATE_OF_LID,
    ),
    _link("tab", "lid", (*TAB_PLACE, PLATE + TAB[2] / 2), None, TAB_MASS, TAB_ON_LID),
]
"""The parts, base first."""


def write_box(path: Path) -> Path:
    """Author the box as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "Box", LINKS, LOOKS, floating=True)


if __name__ == "__main__":
    print(f"Wrote {write_box(BOX_USD)}")
