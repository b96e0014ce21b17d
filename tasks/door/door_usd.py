# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author the door as USD from the benchmark's numbers: two posts, a leaf between them, and a latch with a bolt.

The bolt reaches behind a post, so that the door stays shut until the lever is turned. Run
``python -m zprl.tasks.door.door_usd`` to write :data:`DOOR_USD` anew; a test keeps it in step.
"""

from __future__ import annotations

import math
from pathlib import Path

from zprl.tasks.door.door_env_cfg import DOOR_USD
from zprl.tasks.robots.assets.authoring import Joint, Link, Look, Shape, Vec3, write_articulation

HALF_PI = math.pi / 2

LOOKS = {
    "Wood": Look((0.55, 0.38, 0.22), 0.7, friction=1.0),
    "Post": Look((0.60, 0.20, 0.16), 0.6, friction=1.0),
    "Steel": Look((0.72, 0.73, 0.75), 0.3, friction=1.0),
}

HINGE = 0.31
"""From the middle of the leaf to the hinge [m]."""


def _solid(kind: str, size: tuple[float, ...], pos: Vec3, look: str, rpy: Vec3 = (0.0, 0.0, 0.0)) -> list[Shape]:
    return [Shape(kind, size, pos, rpy, look, collider=True), Shape(kind, size, pos, rpy, look)]


LINKS = [
    Link(
        "frame", None, (0, 0, 0), (0, 0, 0), None,
        7.85398, (0.29, 0.0, 0.0), (0.764585, 0.168533, 0.923301, 0.0, 0.0, 0.0),
        [
            *_solid("cylinder", (0.05, 0.5), (0.6, 0.0, 0.0), "Post"),
            *_solid("cylinder", (0.05, 0.5), (-0.02, 0.0, 0.0), "Post"),
        ],
    ),
    Link(
        "door", "frame", (0.29 + HINGE, 0.0, 0.0), (0, 0, 0),
        Joint("door_hinge", "revolute", (0.0, 1.57), 1000.0, "Z"),
        2.43455, (0.0296816 - HINGE, -0.00152345, 0.0), (0.0521728, 0.0913638, 0.043714, -0.0006664, 0.0, 0.0),
        [
            *_solid("box", (0.4, 0.1, 0.5), (-HINGE, 0.0, 0.0), "Wood"),
            *_solid("cylinder", (0.05, 0.5), (0.2 - HINGE, 0.0, 0.0), "Wood"),
            *_solid("cylinder", (0.05, 0.5), (-0.2 - HINGE, 0.0, 0.0), "Wood"),
        ],
    ),
    Link(
        "latch", "door", (-0.15 - HINGE, 0.0, -0.025), (0, 0, 0),
        Joint("latch", "revolute", (0.0, 1.8), 1000.0, "Y"),
        3.53743, (-0.017762, 0.0138544, 0.0), (0.0345123, 0.0175891, 0.0483771, 0.0123242, 0.0, 0.0),
        [
            *_solid("cylinder", (0.05, 0.3), (0, 0, 0), "Steel", (HALF_PI, 0.0, 0.0)),
            *_solid("capsule", (0.02, 0.2), (0.1, -0.15, 0.0), "Steel", (0.0, HALF_PI, 0.0)),
            *_solid("capsule", (0.04, 0.14), (-0.1, 0.1, 0.0), "Steel", (0.0, HALF_PI, 0.0)),
        ],
    ),
]  # fmt: skip
"""The parts, frame first."""


def write_door(path: Path) -> Path:
    """Author the door as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "Door", LINKS, LOOKS)


if __name__ == "__main__":
    print(f"Wrote {write_door(DOOR_USD)}")
