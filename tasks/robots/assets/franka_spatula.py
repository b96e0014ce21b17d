# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author a Franka Emika Panda with a spatula on its flange as USD: the arm of ``franka_panda``, and no gripper.

The spatula's frame is that of a hand that points down: in the middle of the blade, x towards the blade's front edge, z
out of its underside. Run ``python -m zprl.tasks.robots.assets.franka_spatula`` to write :data:`FRANKA_SPATULA_USD`
anew; a test keeps it in step.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from pxr import Sdf

from zprl.tasks.robots.assets import FRANKA_SPATULA_USD
from zprl.tasks.robots.assets.authoring import Link, Look, Shape, Vec3, write_articulation
from zprl.tasks.robots.assets.franka_panda import FRANKA_PANDA_LINKS
from zprl.tasks.robots.assets.franka_panda import LOOKS as PANDA_LOOKS

LENGTH, WIDTH, THICKNESS = 0.09, 0.08, 0.003
"""Of the blade [m]."""

FRONT_LENGTH, FRONT_THICKNESS = 0.03, 0.0015
"""Of the thin part at its front edge, whose underside is the blade's [m]."""

HANDLE_LENGTH, HANDLE_ANGLE = 0.25, math.radians(10.0)
"""Length of the handle, which lies on the flange's axis [m], and its angle to the blade [rad]. It is so long that the
flange stays out of a pan, and so flat that the last joint of the wrist turns the blade nearly about its own axis."""

FLANGE = 0.107
"""From the last joint's frame to the flange [m]."""

LOOKS = {**PANDA_LOOKS, "Steel": Look((0.62, 0.63, 0.65), 0.35, friction=0.6)}

# As stiff as steps of 5 ms allow, and by that rule whatever it touches: a thin blade is not to sink in.
_CONTACT = {
    "priority": (Sdf.ValueTypeNames.Int, 1),
    "solref": (Sdf.ValueTypeNames.DoubleArray, [0.01, 1.0]),
}


def _solid(kind: str, size: tuple[float, ...], pos: Vec3, look: str, rpy: Vec3 = (0.0, 0.0, 0.0)) -> list[Shape]:
    """Return a shape twice: once as a collider, which renderers hide, and once to be seen."""
    shape = Shape(kind, size, pos, rpy, look)
    return [replace(shape, collider=True, mujoco=_CONTACT), shape]


def _spatula() -> Link:
    cos, sin = math.cos(HANDLE_ANGLE), math.sin(HANDLE_ANGLE)
    half = LENGTH / 2

    def on_handle(distance: float) -> Vec3:
        """Return the point of the handle's axis at a distance behind the blade [m]."""
        return (-half - distance * cos, 0.0, -distance * sin)

    # From the last joint's axes to the spatula's: half a turn about z, then x is turned into the handle's direction.
    turn = math.pi / 2 - HANDLE_ANGLE
    place = (-half * sin, 0.0, FLANGE + HANDLE_LENGTH + half * cos)
    main = LENGTH - FRONT_LENGTH
    return Link(
        "panda_spatula", "panda_link7", place, (0.0, -turn, math.pi), None,
        0.25, on_handle(0.12), (0.0002, 0.0024, 0.0024, 0.0, 0.0, 0.0),
        [
            *_solid("box", (main, WIDTH, THICKNESS), (main / 2 - half, 0.0, 0.0), "Steel"),
            *_solid(
                "box",
                (FRONT_LENGTH, WIDTH, FRONT_THICKNESS),
                (half - FRONT_LENGTH / 2, 0.0, (THICKNESS - FRONT_THICKNESS) / 2),
                "Steel",
            ),
            *_solid(
                "box", (HANDLE_LENGTH, 0.016, 0.008), on_handle(HANDLE_LENGTH / 2), "Rubber", (0.0, -HANDLE_ANGLE, 0.0)
            ),
            Shape("cylinder", (0.032, 0.03), on_handle(HANDLE_LENGTH - 0.015), (0.0, turn, 0.0), "Grey"),
        ],
    )  # fmt: skip


FRANKA_SPATULA_LINKS: list[Link] = [
    *(link for link in FRANKA_PANDA_LINKS if "hand" not in link.name and "finger" not in link.name),
    _spatula(),
]
"""The robot, base first."""


def write_franka_spatula(path: Path) -> Path:
    """Author the robot as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "PandaSpatula", FRANKA_SPATULA_LINKS, LOOKS)


if __name__ == "__main__":
    print(f"Wrote {write_franka_spatula(FRANKA_SPATULA_USD)}")
