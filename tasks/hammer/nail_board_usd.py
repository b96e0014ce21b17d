# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author the board with its nail as USD from the benchmark's numbers.

Run ``python -m zprl.tasks.hammer.nail_board_usd`` to write :data:`NAIL_BOARD_USD` anew; a test keeps it in step.
"""

from __future__ import annotations

from pathlib import Path

from pxr import Sdf

from zprl.tasks.hammer.hammer_env_cfg import NAIL_BOARD_USD
from zprl.tasks.robots.assets.authoring import Joint, Link, Look, Shape, write_articulation

LOOKS = {"Wood": Look((0.60, 0.42, 0.25), 0.7, friction=1.0), "Steel": Look((0.72, 0.73, 0.75), 0.3, friction=1.0)}

# As stiff as MuJoCo's own limit, and no margin: with the benchmark's of 0.01 m, a nail that is home rests 0.6 mm from
# where success begins, on either side of it, as the solver's settings have it.
_LIMIT = {"solreflimit": (Sdf.ValueTypeNames.DoubleArray, [0.02, 1.0])}

LINKS = [
    Link(
        "board", None, (0, 0, 0), (0, 0, 0), None,
        0.512, (0, 0, 0), (0.00110933, 0.00110933, 0.00218453, 0.0, 0.0, 0.0),
        [
            Shape("box", (0.16, 0.16, 0.02), (0, 0, 0), (0, 0, 0), "Wood", collider=True),
            Shape("box", (0.16, 0.16, 0.02), (0, 0, 0), (0, 0, 0), "Wood"),
        ],
    ),
    Link(
        "nail", "board", (0, 0, 0), (0, 0, 0),
        Joint("nail_dir", "prismatic", (-0.01, 0.09), 1000.0, (0.0, 0.0, -1.0), _LIMIT),
        0.0699004, (0.0, 0.0, 0.0775281), (8.23129e-05, 8.23129e-05, 2.51426e-05, 0.0, 0.0, 0.0),
        [
            Shape("cylinder", (0.035, 0.01), (0.0, 0.0, 0.1), (0, 0, 0), "Steel", collider=True),
            Shape("cylinder", (0.035, 0.01), (0.0, 0.0, 0.1), (0, 0, 0), "Steel"),
            Shape("cylinder", (0.01, 0.1), (0.0, 0.0, 0.05), (0, 0, 0), "Steel", collider=True),
            Shape("cylinder", (0.01, 0.1), (0.0, 0.0, 0.05), (0, 0, 0), "Steel"),
        ],
    ),
]  # fmt: skip
"""The parts, board first."""


def write_nail_board(path: Path) -> Path:
    """Author the board as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "NailBoard", LINKS, LOOKS)


if __name__ == "__main__":
    print(f"Wrote {write_nail_board(NAIL_BOARD_USD)}")
