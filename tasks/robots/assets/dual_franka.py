# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author two Franka Emika Pandas on one base as USD: one articulation, whose names begin with "left_" and "right_".

Run ``python -m zprl.tasks.robots.assets.dual_franka`` to write :data:`DUAL_FRANKA_USDS` anew; a test keeps it in step.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

from zprl.tasks.robots.assets import DUAL_FRANKA_USDS
from zprl.tasks.robots.assets.authoring import Link, Shape, Vec3, write_articulation
from zprl.tasks.robots.assets.franka_panda import FRANKA_PANDA_LINKS, LOOKS

LAYOUTS: dict[str, dict[str, tuple[Vec3, float]]] = {
    "facing": {
        "left": ((0.0, -0.81, 0.0), math.pi / 2),
        "right": ((0.0, 0.81, 0.0), -math.pi / 2),
    },
    "side_by_side": {
        "left": ((0.0, 0.3, 0.0), 0.0),
        "right": ((0.0, -0.3, 0.0), 0.0),
    },
}
"""Place [m] and yaw [rad] of each Panda's base in the robot's root frame, by side: 1.62 m apart and facing each other
along y, as in robosuite, or 0.6 m apart and both facing x."""

PEDESTAL_HEIGHT = 0.112
"""How far down the pedestals reach [m]; nothing touches them."""

TOUCHING = [
    (f"left_panda_{one}", f"right_panda_{other}")
    for one, other in product(("hand", "leftfinger", "rightfinger"), repeat=2)
]
"""Pairs of links that touch each other: the hands, and what belongs to them, with those of the other side."""


def dual_franka_links(layout: str) -> list[Link]:
    """Return both Pandas in one of :data:`LAYOUTS` on their common base, which stands before them."""
    bases = LAYOUTS[layout]
    pedestals = [
        Shape("box", (0.2, 0.2, PEDESTAL_HEIGHT), (x, y, z - PEDESTAL_HEIGHT / 2), look="Grey")
        for (x, y, z), _ in bases.values()
    ]
    base = Link("base", None, (0, 0, 0), (0, 0, 0), None, 1.0, (0, 0, 0), (0.1, 0.1, 0.1, 0, 0, 0), pedestals)
    return [base, *(_of_side(link, side, *bases[side]) for side in bases for link in FRANKA_PANDA_LINKS)]


def _of_side(link: Link, side: str, pos: Vec3, yaw: float) -> Link:
    """Return a link of one Panda with its side in its names; its base stands at a place, turned by a yaw [rad]."""
    joint = link.joint and replace(link.joint, name=f"{side}_{link.joint.name}")
    named = replace(link, name=f"{side}_{link.name}", parent=f"{side}_{link.parent}", joint=joint)
    return named if link.parent is not None else replace(named, parent="base", pos=pos, rpy=(0.0, 0.0, yaw))


def write_dual_franka(path: Path, layout: str) -> Path:
    """Author the robot in one of :data:`LAYOUTS` as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "DualPanda", dual_franka_links(layout), LOOKS, touching=TOUCHING)


if __name__ == "__main__":
    for kind, file in DUAL_FRANKA_USDS.items():
        print(f"Wrote {write_dual_franka(file, kind)}")
