# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author the Adroit hand as USD from numbers, without meshes or network access: 24 joints, and none to four of its arm.

The joint frames, ranges, masses, inertias and colliders are those of the ADROIT manipulation platform's public model
(Kumar et al., "Fast, strong and compliant pneumatic actuation for dexterous tendon-driven hands", ICRA 2013; the model
as Gymnasium-Robotics has it), whose links are capsules and boxes already. Its arm is no chain of links: the forearm
itself slides and turns, so that each of its joints but the last has a link of a gram here.

Of the model's 44 tendons four are here, which couple each finger's last two joints; the others only repeat the joints'
limits. The pairs of links that touch each other are the model's, where they have no friction.

Run ``python -m zprl.tasks.robots.assets.adroit`` to write :data:`ADROIT_USDS` anew; a test keeps them in step.
"""

from __future__ import annotations

import math
from pathlib import Path

from pxr import Sdf

from zprl.tasks.robots.assets import ADROIT_USDS
from zprl.tasks.robots.assets.adroit_arms import ARMS, ArmJoint
from zprl.tasks.robots.assets.authoring import Coupling, Joint, Link, Look, Shape, Vec3, write_articulation

HALF_PI = math.pi / 2

# The coefficients are the model's; only fingertips (condim 4) resist spinning.
LOOKS = {
    "Shell": Look((0.62, 0.64, 0.67), 0.4, friction=1.0, torsional_friction=0.5),
    "Dark": Look((0.12, 0.12, 0.14), 0.6, friction=1.0, torsional_friction=0.5),
    "Tip": Look((0.75, 0.42, 0.18), 0.7, friction=1.0, torsional_friction=0.5),
}

_TIP = {"condim": (Sdf.ValueTypeNames.Int, 4)}

# MuJoCo's own limits, of which each begins to push 0.01 rad before it; Newton's are softer.
_LIMIT = {
    "margin": (Sdf.ValueTypeNames.Double, 0.01),
    "solreflimit": (Sdf.ValueTypeNames.DoubleArray, [0.02, 1.0]),
}

_EFFORT = 1000.0
"""Largest torque [N m] or force [N]; the model's servos have no limit, and this one is never met."""


FACING: dict[str, Vec3] = {"fixed": (-HALF_PI, 0.0, 0.0), "two_axes": (HALF_PI, 0.0, math.pi)}
"""Roll, pitch and yaw of the forearm [rad]: it points along y, with the palm up if it is fixed, or else down."""


def _joint(name: str, limits: tuple[float, float], axis: str | Vec3, kind: str = "revolute") -> Joint:
    return Joint(name, kind, limits, _EFFORT, axis, _LIMIT)


def _moments(moment: float, longitudinal: float | None = None) -> tuple[float, float, float, float, float, float]:
    return moment, moment, moment if longitudinal is None else longitudinal, 0.0, 0.0, 0.0


def _hull(kind: str, size: tuple[float, ...], pos: Vec3, look: str = "Shell", rpy: Vec3 = (0.0, 0.0, 0.0)) -> list:
    """Return a collider and what is seen of it, as renderers hide colliders."""
    mujoco = _TIP if look == "Tip" else {}
    return [
        Shape(kind, size, pos, rpy, look, collider=True, mujoco=mujoco),
        Shape(kind, size, pos, rpy, look),
    ]


def _segment(radius: float, half: float, look: str = "Shell") -> list[Shape]:
    """Return a capsule from the link's origin along its z axis; ``half`` is half the distance of its caps' centres."""
    return _hull("capsule", (radius, 2 * half), (0.0, 0.0, half), look)


def _knob(radius: float, length: float) -> Shape:
    """Return the hinge of a finger, which is only seen: a cylinder along the axis that the finger bends about."""
    return Shape("cylinder", (radius, length), (0.0, 0.0, 0.0), (0.0, HALF_PI, 0.0), "Dark")


def _finger(prefix: str, parent: str, pos: Vec3) -> list[Link]:
    name, joint = prefix.lower(), f"{prefix}J"
    small = _moments(1e-5)
    bend = (0.0, 1.571)
    return [
        Link(
            f"{name}knuckle", parent, pos, (0, 0, 0),
            _joint(f"{joint}3", (-0.436, 0.436), "Y"), 0.008, (0, 0, 0), small,
            [_knob(0.0095, 0.016)],
        ),
        Link(
            f"{name}proximal", f"{name}knuckle", (0, 0, 0), (0, 0, 0),
            _joint(f"{joint}2", bend, "X"), 0.014, (0.0, 0.0, 0.023), small,
            _segment(0.01, 0.0225),
        ),
        Link(
            f"{name}middle", f"{name}proximal", (0.0, 0.0, 0.045), (0, 0, 0),
            _joint(f"{joint}1", bend, "X"), 0.012, (0.0, 0.0, 0.011 if prefix == "FF" else 0.012),
            small, [*_segment(0.00805, 0.0125), _knob(0.0085, 0.018)],
        ),
        Link(
            f"{name}distal", f"{name}middle", (0.0, 0.0, 0.025), (0, 0, 0),
            _joint(f"{joint}0", bend, "X"), 0.010, (0.0, 0.0, 0.015), small,
            [*_segment(0.00705, 0.012, "Tip"), _knob(0.0075, 0.016)],
        ),
    ]  # fmt: skip


def _thumb() -> list[Link]:
    small = _moments(1e-5)
    pitch = 2.0 * math.atan2(0.382499, 0.923956)

    def bends(number: int, low: float, high: float, axis: str | Vec3) -> Joint:
        return _joint(f"THJ{number}", (low, high), axis)

    return [
        Link(
            "thbase", "palm", (0.034, -0.009, 0.029), (0.0, pitch, 0.0), bends(4, -1.047, 1.047, (0.0, 0.0, -1.0)),
            0.010, (0, 0, 0), small, [_knob(0.0125, 0.022)],
        ),
        Link(
            "thproximal", "thbase", (0, 0, 0), (0, 0, 0), bends(3, 0.0, 1.309, "X"),
            0.016, (0.0, 0.0, 0.017), small, _segment(0.013, 0.019),
        ),
        Link(
            "thhub", "thproximal", (0.0, 0.0, 0.038), (0, 0, 0), bends(2, -0.262, 0.262, "X"),
            0.002, (0, 0, 0), small, [_knob(0.0115, 0.024)],
        ),
        Link(
            "thmiddle", "thhub", (0, 0, 0), (0, 0, 0), bends(1, -0.524, 0.524, "Y"),
            0.016, (0.0, 0.0, 0.016), small, _segment(0.011, 0.016),
        ),
        Link(
            "thdistal", "thmiddle", (0.0, 0.0, 0.032), (0, 0, 0), bends(0, -1.571, 0.0, "Y"),
            0.016, (0.0, 0.0, 0.016), small, _segment(0.00918, 0.013, "Tip"),
        ),
    ]  # fmt: skip


def _arm(joints: tuple[ArmJoint, ...], facing: Vec3) -> list[Link]:
    """Return the base, which stands still with the world's axes, and the forearm behind the arm's joints."""
    links = [Link("base", None, (0, 0, 0), (0, 0, 0), None, 1.0, (0, 0, 0), _moments(1e-3))]
    for number, joint in enumerate(joints):
        last = number == len(joints) - 1
        moved = _joint(joint.name, joint.limits, joint.axis, joint.kind)
        link = Link(f"arm_{joint.name}", links[-1].name, (0, 0, 0), (0, 0, 0), moved, 1e-3, (0, 0, 0), _moments(1e-6))
        links.append(_forearm(links[-1].name, (0, 0, 0), moved) if last else link)
        links[-1].rpy = facing if number == 0 else (0, 0, 0)
    return links if joints else [*links, _forearm("base", facing, None)]


def _forearm(parent: str, rpy: Vec3, joint: Joint | None) -> Link:
    return Link(
        "forearm", parent, (0, 0, 0), rpy, joint, 4.0, (0.001, -0.002, 0.29), _moments(0.01, 0.0075),
        [
            *_hull("capsule", (0.05, 0.066), (0.0, 0.0, 0.29), "Dark"),
            Shape("capsule", (0.048, 0.20), (0.0, 0.0, 0.17), look="Dark"),
            Shape("cylinder", (0.03, 0.05), (0.0, 0.0, 0.365)),
        ],
    )  # fmt: skip


def adroit_links(arm: str) -> list[Link]:
    """Return the hand on one of :data:`ARMS`, base first; every parent stands before its children."""
    metacarpal = _joint("LFJ4", (0.0, 0.698), (0.5709769, 0.0, 0.8209660))
    return [
        *_arm(ARMS[arm], FACING.get(arm, FACING["two_axes"])),
        Link(
            "wrist", "forearm", (0.0, 0.0, 0.396), (0, 0, 0),
            _joint("WRJ1", (-0.524, 0.175), "Y"), 0.3, (0.003, 0.0, 0.016), _moments(1e-3),
            _hull("capsule", (0.015, 0.02), (0, 0, 0), "Dark", (HALF_PI, 0.0, 0.0)),
        ),
        Link(
            "palm", "wrist", (0.0, 0.0, 0.034), (0, 0, 0),
            _joint("WRJ0", (-0.785, 0.611), "X"), 0.3, (0.006, 0.0, 0.036), _moments(1e-3),
            [
                *_hull("box", (0.064, 0.0222, 0.098), (0.011, 0.0, 0.038)),
                *_hull("box", (0.022, 0.0222, 0.050), (-0.032, 0.0, 0.014)),
            ],
        ),
        *_finger("FF", "palm", (0.033, 0.0, 0.095)),
        *_finger("MF", "palm", (0.011, 0.0, 0.099)),
        *_finger("RF", "palm", (-0.011, 0.0, 0.095)),
        Link(
            "lfmetacarpal", "palm", (-0.017, 0.0, 0.044), (0, 0, 0), metacarpal,
            0.075, (-0.014, 0.001, 0.014), _moments(1e-5), _hull("box", (0.019, 0.0222, 0.050), (-0.0165, 0.0, 0.01)),
        ),
        *_finger("LF", "lfmetacarpal", (-0.017, 0.0, 0.044)),
        *_thumb(),
    ]  # fmt: skip


COUPLINGS = [
    Coupling(f"{finger}J1c", {f"{finger}J0": 0.00705, f"{finger}J1": -0.00805}, (-0.001, 0.001))
    for finger in ("FF", "MF", "RF", "LF")
]
"""Tendons [m] that let the last joint of each finger follow the one before, within 0.14 rad."""


TOUCHING = [
    *((f"{one}proximal", f"{other}proximal") for one, other in (("ff", "mf"), ("mf", "rf"), ("rf", "lf"))),
    *((f"{one}distal", f"{other}distal") for one, other in (("ff", "mf"), ("mf", "rf"), ("mf", "lf"), ("rf", "lf"))),
    *(("rfmiddle", "lfmiddle"), ("rfmiddle", "lfdistal"), ("rfdistal", "lfmiddle")),
    *((name, "thdistal") for name in ("palm", "ffproximal", "ffmiddle", "ffdistal", "mfproximal")),
    *((f"{name}distal", "thdistal") for name in ("mf", "rf", "lf")),
]
"""Pairs of links that touch each other: fingers beside each other, and the thumb's tip and what it reaches."""


def write_adroit(path: Path, arm: str) -> Path:
    """Author the hand on one of :data:`ARMS` as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "Adroit", adroit_links(arm), LOOKS, COUPLINGS, TOUCHING)


if __name__ == "__main__":
    for kind, file in ADROIT_USDS.items():
        print(f"Wrote {write_adroit(file, kind)}")
