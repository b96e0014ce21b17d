# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author a Franka Emika Panda as USD from published figures, without meshes or network access.

The kinematics are the modified Denavit-Hartenberg frames that Franka publishes in ``franka_description``; the masses,
centres of mass and inertias are those identified by Gaz et al., "Dynamic Identification of the Franka Emika Panda
Robot With Retrieval of Feasible Parameters Using Penalty-Based Optimization", RA-L 2019. The look is built from
capsules, cylinders and boxes. Only the shapes that a tabletop task touches are colliders: the hand, the fingers'
backs and the two rubber finger pads.

Run ``python -m zprl.tasks.robots.assets.franka_panda`` to write :data:`FRANKA_PANDA_USD` anew; a test keeps it in step.
"""

from __future__ import annotations

import math
from pathlib import Path

from pxr import Sdf

from zprl.tasks.robots.assets import FRANKA_PANDA_USD
from zprl.tasks.robots.assets.authoring import Joint, Link, Look, Shape, write_articulation

HALF_PI = math.pi / 2

LOOKS = {
    "White": Look((0.90, 0.91, 0.92), 0.35),
    "Grey": Look((0.30, 0.32, 0.35), 0.5),
    "Rubber": Look((0.08, 0.08, 0.09), 0.9, friction=1.5),
    "Accent": Look((0.10, 0.42, 0.62), 0.4),
}

# A stiff pad whose parameters win over those of whatever it touches: softer contacts let the cube sink in and squirt
# out. The corners of the two boxes make four contacts, which hold a torque about the grasp axis by themselves;
# torsional friction (condim 4) would only add half as many constraint rows again.
PAD = {
    "condim": (Sdf.ValueTypeNames.Int, 3),
    "priority": (Sdf.ValueTypeNames.Int, 1),
    "solimp": (Sdf.ValueTypeNames.DoubleArray, [0.98, 0.995, 0.001, 0.5, 2.0]),
    "solref": (Sdf.ValueTypeNames.DoubleArray, [0.02, 1.0]),
}


def _arm_joint(index: int, lower: float, upper: float) -> Joint:
    return Joint(f"panda_joint{index}", "revolute", (lower, upper), 87.0 if index <= 4 else 12.0)


def _finger(side: str, yaw: float) -> Link:
    # The right finger's frame is the left one's turned by 180 degrees about the hand's z, so both open along their +y.
    return Link(
        f"panda_{side}finger",
        "panda_hand",
        (0.0, 0.0, 0.0584),
        (0.0, 0.0, yaw),
        Joint(f"panda_finger_joint{1 if side == 'left' else 2}", "prismatic", (0.0, 0.04), 20.0, "Y"),
        0.015,
        (0.0, 0.014, 0.022),
        (2.4e-6, 2.4e-6, 7.5e-7, 0.0, 0.0, 0.0),
        [
            Shape("box", (0.021, 0.015, 0.024), (0.0, 0.0185, 0.011), look="Grey"),
            Shape("box", (0.019, 0.010, 0.030), (0.0, 0.0175, 0.036), look="Grey"),
            # The pad: its inner face lies in the plane y = 0 where the closed fingers meet.
            Shape("box", (0.019, 0.014, 0.030), (0.0, 0.007, 0.0395), look="Rubber", collider=True, mujoco=PAD),
            Shape("box", (0.019, 0.014, 0.030), (0.0, 0.007, 0.0395), look="Rubber"),  # renderers hide colliders
        ],
    )


FRANKA_PANDA_LINKS: list[Link] = [
    Link(
        "panda_link0", None, (0, 0, 0), (0, 0, 0), None,
        0.629769, (-0.041018, -0.00014, 0.049974), (0.00315, 0.00388, 0.004285, 8.2904e-7, 0.00015, 8.2299e-6),
        [
            Shape("cylinder", (0.088, 0.05), (0.0, 0.0, 0.025), look="Grey"),
            Shape("capsule", (0.066, 0.05), (0.0, 0.0, 0.10)),
            Shape("box", (0.13, 0.11, 0.10), (-0.08, 0.0, 0.05)),
        ],
    ),
    Link(
        "panda_link1", "panda_link0", (0, 0, 0.333), (0, 0, 0), _arm_joint(1, -2.8973, 2.8973),
        4.970684, (0.003875, 0.002081, -0.04762), (0.70337, 0.70661, 0.009117, -0.000139, 0.006772, 0.019169),
        [
            Shape("capsule", (0.058, 0.14), (0.0, 0.0, -0.12)),
            Shape("capsule", (0.057, 0.12), (0.0, -0.005, 0.0), (HALF_PI, 0.0, 0.0)),
        ],
    ),
    Link(
        "panda_link2", "panda_link1", (0, 0, 0), (-HALF_PI, 0, 0), _arm_joint(2, -1.7628, 1.7628),
        0.646926, (-0.003141, -0.02872, 0.003495), (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 0.000704),
        [
            Shape("capsule", (0.0565, 0.12), (0.0, -0.14, 0.0), (HALF_PI, 0.0, 0.0)),
            Shape("cylinder", (0.0575, 0.15), (0.0, 0.0, 0.0), look="Grey"),
        ],
    ),
    Link(
        "panda_link3", "panda_link2", (0, -0.316, 0), (HALF_PI, 0, 0), _arm_joint(3, -2.8973, 2.8973),
        3.228604, (0.027518, 0.039252, -0.066502), (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805),
        [
            Shape("capsule", (0.053, 0.10), (0.0, 0.0, -0.08)),
            Shape("capsule", (0.052, 0.10), (0.0825, 0.0, 0.0), (HALF_PI, 0.0, 0.0)),
            Shape("capsule", (0.050, 0.0825), (0.041, 0.0, -0.005), (0.0, HALF_PI, 0.0)),
        ],
    ),
    Link(
        "panda_link4", "panda_link3", (0.0825, 0, 0), (HALF_PI, 0, 0), _arm_joint(4, -3.0718, -0.0698),
        3.587895, (-0.05317, 0.104419, 0.027454), (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641),
        [
            Shape("cylinder", (0.0525, 0.13), (0.0, 0.0, 0.0), look="Grey"),
            Shape("capsule", (0.050, 0.0825), (-0.041, 0.015, 0.0), (0.0, HALF_PI, 0.0)),
            Shape("capsule", (0.051, 0.10), (-0.0825, 0.09, 0.0), (HALF_PI, 0.0, 0.0)),
        ],
    ),
    Link(
        "panda_link5", "panda_link4", (-0.0825, 0.384, 0), (-HALF_PI, 0, 0), _arm_joint(5, -2.8973, 2.8973),
        1.225946, (-0.011953, 0.041065, -0.038437), (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229),
        [
            Shape("capsule", (0.050, 0.10), (0.0, 0.0, -0.24)),
            Shape("capsule", (0.038, 0.14), (0.0, 0.065, -0.11)),
            Shape("capsule", (0.047, 0.06), (0.0, 0.02, -0.01), (HALF_PI, 0.0, 0.0)),
        ],
    ),
    Link(
        "panda_link6", "panda_link5", (0, 0, 0), (HALF_PI, 0, 0), _arm_joint(6, -0.0175, 3.7525),
        1.666555, (0.060149, -0.014117, -0.010517), (0.001964, 0.004354, 0.005433, 0.000109, -0.001158, 0.000341),
        [
            Shape("cylinder", (0.046, 0.10), (0.0, 0.0, 0.0), look="Grey"),
            Shape("capsule", (0.047, 0.05), (0.075, 0.01, 0.0), (HALF_PI, 0.0, 0.0)),
            Shape("capsule", (0.042, 0.06), (0.04, 0.0, 0.0), (0.0, HALF_PI, 0.0)),
        ],
    ),
    Link(
        "panda_link7", "panda_link6", (0.088, 0, 0), (HALF_PI, 0, 0), _arm_joint(7, -2.8973, 2.8973),
        0.735522, (0.010517, -0.004252, 0.061597), (0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741),
        [
            Shape("cylinder", (0.044, 0.10), (0.0, 0.0, 0.055)),
            Shape("cylinder", (0.045, 0.012), (0.0, 0.0, 0.1), look="Accent"),
        ],
    ),
    Link(
        "panda_hand", "panda_link7", (0, 0, 0.107), (0, 0, -HALF_PI / 2), None,
        0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017, 0.0, 0.0, 0.0),
        [
            Shape("box", (0.04, 0.20, 0.056), (0.0, 0.0, 0.033), collider=True),
            Shape("box", (0.043, 0.17, 0.008), (0.0, 0.0, 0.062), look="Grey"),
            Shape("capsule", (0.031, 0.14), (0.0, 0.0, 0.034), (HALF_PI, 0.0, 0.0)),
            Shape("cylinder", (0.034, 0.03), (0.0, 0.0, 0.008), look="Grey"),
        ],
    ),
    _finger("left", 0.0),
    _finger("right", math.pi),
]  # fmt: skip
"""The robot, base first; every parent stands before its children."""


def write_franka_panda(path: Path) -> Path:
    """Author the robot as a USD layer, a file that ends in ``.usda``; return its path."""
    return write_articulation(path, "Panda", FRANKA_PANDA_LINKS, LOOKS)


if __name__ == "__main__":
    print(f"Wrote {write_franka_panda(FRANKA_PANDA_USD)}")
