# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author wallet and bill as USD: a plate on a stand with a flap before it, hinged at its lower edge; strips on hinges.

Run ``python -m zprl.tasks.insert_bills.wallet_usd`` to write :data:`WALLET_USD` and :data:`BILL_USD` anew; a test keeps
them in step.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zprl.tasks.insert_bills.insert_bills_env_cfg import (
    BACK,
    BILL_MASS,
    BILL_USD,
    FLAP,
    FLAP_MASS,
    HEIGHT,
    MAX_ANGLE,
    SLOT,
    STAND,
    STRIP,
    STRIPS,
    TAB,
    TAB_PLACE,
    WALLET_USD,
    WIDTH,
)
from zprl.tasks.robots.assets.authoring import Joint, Link, Look, Shape, of_boxes, write_articulation

LOOKS = {
    "Stand": Look((0.45, 0.46, 0.50), 0.6, friction=0.5),
    "Leather": Look((0.35, 0.20, 0.12), 0.7, friction=0.3),
    "Paper": Look((0.35, 0.60, 0.40), 0.8, friction=0.3),
    "Tab": Look((0.80, 0.60, 0.15), 0.6, friction=0.8),
}

BACK_PLATE = [
    Shape("box", (0.06, WIDTH, STAND), (0.0, 0.0, STAND / 2), look="Stand"),
    Shape("box", (BACK, WIDTH, HEIGHT), ((SLOT + BACK) / 2, 0.0, STAND + HEIGHT / 2), look="Leather"),
]
FLAP_PARTS = [
    Shape("box", (FLAP, WIDTH, HEIGHT), (0.0, 0.0, HEIGHT / 2), look="Leather"),
    Shape("box", TAB, TAB_PLACE, look="Tab"),
]


def _link(name: str, parent: str | None, pos: tuple, joint: Joint | None, mass: float, shapes: list[Shape]) -> Link:
    solid = [form for shape in shapes for form in (replace(shape, collider=True), shape)]  # renderers hide colliders
    return Link(name, parent, pos, (0.0, 0.0, 0.0), joint, mass, *of_boxes(mass, shapes), solid)


LINKS = [
    _link("stand", None, (0.0, 0.0, 0.0), None, 1.0, BACK_PLATE),
    _link(
        "flap",
        "stand",
        (-(SLOT + FLAP) / 2, 0.0, STAND + 0.001),
        Joint("flap_hinge", "revolute", (0.0, MAX_ANGLE), 1000.0, (0.0, -1.0, 0.0)),
        FLAP_MASS,
        FLAP_PARTS,
    ),
]
"""The parts, stand first."""


BILL = [
    _link(
        f"strip_{i}",
        f"strip_{i - 1}" if i else None,
        (0.0, 0.0, -STRIP[2] / 2 if i == 1 else -STRIP[2] if i else 0.0),
        Joint(f"fold_{i}", "revolute", (-1.5, 1.5), 1000.0, "Y") if i else None,
        BILL_MASS / STRIPS,
        [Shape("box", STRIP, (0.0, 0.0, -STRIP[2] / 2 if i else 0.0), look="Paper")],
    )
    for i in range(STRIPS)
]
"""The bill's strips, which hang from each other; the frame of the first is in its middle, that of each other one at its
upper edge."""


def write_wallet(path: Path) -> Path:
    """Author the wallet as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "Wallet", LINKS, LOOKS)


def write_bill(path: Path) -> Path:
    """Author the bill as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "Bill", BILL, LOOKS, floating=True)


if __name__ == "__main__":
    print(f"Wrote {write_wallet(WALLET_USD)} and {write_bill(BILL_USD)}")
