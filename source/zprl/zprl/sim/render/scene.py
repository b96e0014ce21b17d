# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What there is to see in every world."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zprl.utils.errors import ZprlError


class Shape(enum.IntEnum):
    """Shapes of primitives, each around the origin of its frame, with the numbers of its size [m]."""

    PLANE = 0
    """The plane z = 0, seen from both sides: half sizes along x and y, either of them infinite."""

    SPHERE = 1
    """Radius."""

    BOX = 2
    """Half sizes along x, y and z."""

    CAPSULE = 3
    """Along z: radius, and half height of the cylinder between the half spheres."""

    CYLINDER = 4
    """Along z: radius and half height."""


_SIZES = {Shape.PLANE: 2, Shape.SPHERE: 1, Shape.BOX: 3, Shape.CAPSULE: 2, Shape.CYLINDER: 2}


class Primitives:
    """Primitives that all worlds share; their poses come with every call of :meth:`RayCaster.render`.

    Args:
        shapes: Shape of each, (P,); see :class:`Shape`.
        sizes: Its size [m], (P, 3); numbers that a shape does not have are ignored.
        colors: Its colour in sRGB, 0 to 1, (P, 3).
        ids: What a segmentation shows in its place, (P,); by default the number of the primitive.

    Attributes:
        shapes: As int32.
        sizes: As float32.
        colors: As float32.
        ids: As int32.

    Raises:
        ZprlError: If an array has another shape, or a number makes no sense.
    """

    def __init__(self, shapes: ArrayLike, sizes: ArrayLike, colors: ArrayLike, ids: ArrayLike | None = None) -> None:
        count = np.size(shapes)
        self.shapes = _array("shapes", shapes, np.int32, (count,))
        self.sizes = _array("sizes", sizes, np.float32, (count, 3))
        self.colors = _array("colors", colors, np.float32, (count, 3))
        self.ids = _array("ids", np.arange(count) if ids is None else ids, np.int32, (count,))
        for index, (number, size, color) in enumerate(zip(self.shapes, self.sizes, self.colors, strict=True)):
            if number not in _SIZES:
                raise ZprlError(
                    f"primitive {index} has the shape {number}, which is none of {', '.join(map(str, _SIZES))}."
                )
            shape = Shape(number)
            used = size[: _SIZES[shape]]
            infinite = shape is Shape.PLANE
            if not ((used >= 0) & (np.isfinite(used) | (infinite & (used == np.inf)))).all():
                raise ZprlError(
                    f"primitive {index}, a {shape.name.lower()}, has the size {used.tolist()}; sizes are finite"
                    " numbers of at least 0, and of a plane also infinite."
                )
            if shape in (Shape.SPHERE, Shape.CAPSULE, Shape.CYLINDER) and size[0] == 0:
                raise ZprlError(f"primitive {index}, a {shape.name.lower()}, has the radius 0; it must be positive.")
            if not ((color >= 0) & (color <= 1)).all():
                raise ZprlError(
                    f"primitive {index} has the colour {color.tolist()}; write red, green and blue from 0 to 1."
                )

    def __len__(self) -> int:
        return len(self.shapes)


def _array(name: str, value: ArrayLike, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array = np.array(value, dtype=dtype, order="C").reshape(shape if np.size(value) == 0 else np.shape(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise ZprlError(f"{name} of primitives must be numbers of shape {shape} ({error}).") from error
    if array.shape != shape:
        raise ZprlError(f"{name} of {shape[0]} primitives must have the shape {shape}, not {array.shape}.")
    array.setflags(write=False)
    return array
