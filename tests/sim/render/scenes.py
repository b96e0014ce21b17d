# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Scenes for the tests of the ray caster."""

import math

import numpy as np

from zprl.sim.render import PinholeCamera, Primitives, Shape

UPRIGHT = (0.0, 0.0, 0.0, 1.0)
"""The quaternion without rotation: a camera with it looks down."""
FORWARD = (0.5, -0.5, -0.5, 0.5)
"""A camera with it looks along +x, with +z up."""
ALL = ("rgb", "depth", "segmentation")


def camera(width=64, height=48, focal=60.0, **others):
    return PinholeCamera(
        **{"width": width, "height": height, "fx": focal, "fy": focal, "cx": width / 2, "cy": height / 2} | others
    )


def primitives(*things, **others):
    """Make (shape, size) white."""
    sizes = [(*size, *[0.0] * (3 - len(size))) for _, size in things]
    return Primitives([shape for shape, _ in things], sizes, others.pop("colors", np.ones((len(things), 3))), **others)


def poses(*things):
    """Make (position, quaternion) the poses of a world, or its camera's."""
    array = np.array([[*position, *quaternion] for position, quaternion in things], dtype=np.float32)
    return array.reshape(1, -1, 7)


def crowd(seed, count=12, worlds=1):
    """Primitives of all shapes on a floor, their poses in several worlds, and cameras that look at the middle."""
    rng = np.random.default_rng(seed)
    shapes = [Shape.PLANE, *Shape, *rng.choice(list(Shape), count - 6)]
    sizes = rng.uniform(0.05, 0.3, (count, 3)) * math.sqrt(12 / count)
    sizes[0] = np.inf
    things = Primitives(shapes, sizes, rng.uniform(0, 1, (count, 3)), ids=rng.permutation(count) + 5)
    where = np.concatenate([rng.uniform(-0.6, 0.6, (worlds, count, 3)), rng.normal(size=(worlds, count, 4))], axis=2)
    where[:, 0] = [0, 0, -0.5, *UPRIGHT]
    eyes = rng.uniform(-0.3, 0.3, (worlds, 3)) - [1.5, 0, 0]
    turns = np.array(FORWARD) + rng.normal(0, 0.05, (worlds, 4))
    return things, where.astype(np.float32), np.concatenate([eyes, turns], axis=1).astype(np.float32)
