# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What Newton would show of a simulation, as primitives for the ray caster of :mod:`zprl.sim.render`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from newton import GeoType, Model, ShapeFlags
from numpy.typing import NDArray

from zprl.sim.render import Primitives, Shape, composed
from zprl.utils.errors import ZprlError

_SHAPES = {
    GeoType.PLANE: Shape.PLANE,
    GeoType.SPHERE: Shape.SPHERE,
    GeoType.BOX: Shape.BOX,
    GeoType.CAPSULE: Shape.CAPSULE,
    GeoType.CYLINDER: Shape.CYLINDER,
}
_WAY_OUT = "choose renderer=newton_renderer"


@dataclass(frozen=True)
class ModelPrimitives:
    """The primitives that every world of a model shows, and what they are fixed to.

    Attributes:
        primitives: Shapes, sizes and colours (those of the first world), with their numbers as ids.
        labels: Name of each in the first world.
        bodies: Body that each is fixed to, (P,), one of its world's; -1: to the world.
        local_poses: Pose in the body's frame, (N, P, 7), float32: position [m] and quaternion (x, y, z, w).
        colors: Colours, (N, P, 3), float32, if worlds differ in them, or None.
    """

    primitives: Primitives
    labels: tuple[str, ...]
    bodies: NDArray[np.int64]
    local_poses: NDArray[np.float32]
    colors: NDArray[np.float32] | None

    def poses(self, bodies: NDArray[np.float32], worlds: NDArray[np.int64] | slice = slice(None)) -> Any:
        """Return the poses of all primitives for :meth:`RayCaster.render`.

        Args:
            bodies: Poses of the worlds' bodies, (n, B, 7), such as Newton's ``State.body_q`` at :func:`world_bodies`.
            worlds: Indices of these worlds (n,); all by default.

        Returns:
            Poses in the world, (n, P, 7), float32.
        """
        # The body behind the last is that of index -1: the world.
        frames = np.empty((len(bodies), bodies.shape[1] + 1, 7), dtype=np.float32)
        frames[:, :-1], frames[:, -1] = bodies, (0, 0, 0, 0, 0, 0, 1)
        return composed(frames[:, self.bodies], self.local_poses[worlds])


def world_bodies(model: Model) -> NDArray[np.int64]:
    """Return the bodies of each world, (N, B), as rows of Newton's ``State.body_q``.

    Raises:
        ZprlError: If worlds have different numbers of bodies.
    """
    worlds = _numpy(model.body_world)
    rows = [np.flatnonzero(worlds == world) for world in range(model.world_count)]
    if len({len(row) for row in rows}) > 1:
        counts = ", ".join(str(len(row)) for row in rows[:3])
        raise ZprlError(f"cameras need worlds with equally many bodies, and these have {counts} and so on.")
    return np.stack(rows).astype(np.int64)


def visible_primitives(model: Model) -> ModelPrimitives:
    """Return what Newton's own renderer would show: the shapes with its flag, without those that only collide.

    Isaac Lab leaves shapes that do not collide out of a model which nothing is to render: its scene needs a camera, or
    another reason to keep them.

    Args:
        model: Newton's model, with its arrays on any device.

    Raises:
        ZprlError: If something visible is no primitive, or worlds show different things.
    """
    if model.particle_count > 0:
        raise ZprlError(f"the ray caster draws no particles, and the scene has {model.particle_count}; {_WAY_OUT}.")
    flags, worlds = _numpy(model.shape_flags), _numpy(model.shape_world)
    visible = np.flatnonzero(flags & int(ShapeFlags.VISIBLE))
    visible = visible[_numpy(model.shape_type)[visible] != int(GeoType.NONE)]
    # What belongs to no world is seen in all of them, after their own.
    rows = [
        np.concatenate([visible[worlds[visible] == world], visible[worlds[visible] == -1]])
        for world in range(model.world_count)
    ]
    labels = [model.shape_label[shape] for shape in rows[0]]
    for world, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ZprlError(
                f"world {world} shows {len(row)} shapes and world 0 {len(rows[0])}, and the ray caster draws the same"
                f" ones in every world; {_WAY_OUT}."
            )
    index = np.stack(rows)
    kinds, scales = _numpy(model.shape_type)[index], _numpy(model.shape_scale)[index]
    shapes, sizes = [], []
    for number, scale, label in zip(kinds[0], scales[0], labels, strict=True):
        shape, size = _primitive(GeoType(number), scale, label)
        shapes.append(shape)
        sizes.append(size)
    for world in range(1, len(rows)):
        different = (kinds[world] != kinds[0]) | (scales[world] != scales[0]).any(axis=-1)
        if different.any():
            raise ZprlError(
                f"{labels[int(different.argmax())]} has another shape or size in world {world}, and the ray caster"
                f" draws the same ones in every world; {_WAY_OUT}."
            )
    colors = np.clip(_numpy(model.shape_color)[index], 0, 1)
    own = world_bodies(model)
    bodies = _numpy(model.shape_body)[index]
    place = np.full(model.body_count + 1, -1)  # of each body in its world; the last is that of index -1
    place[own] = np.arange(own.shape[1])
    place = place[bodies]
    if not (place == place[0]).all() or (place[bodies >= 0] < 0).any():
        different = ((place != place[0]) | ((bodies >= 0) & (place < 0))).any(axis=0)
        raise ZprlError(
            f"{labels[int(different.argmax())]} is fixed to another body in another world, and the ray caster draws the"
            f" same ones in every world; {_WAY_OUT}."
        )
    return ModelPrimitives(
        Primitives(shapes, np.reshape(sizes, (-1, 3)), colors[0]),
        tuple(labels),
        place[0],
        _numpy(model.shape_transform)[index],
        None if (colors == colors[0]).all() else np.ascontiguousarray(colors),
    )


def _primitive(kind: GeoType, scale: NDArray[np.float32], label: str) -> tuple[Shape, NDArray[Any]]:
    """Return shape and size of one of Newton's."""
    if kind not in _SHAPES:
        raise ZprlError(
            f"{label} is a {kind.name.lower().replace('_', ' ')}, and the ray caster draws boxes, spheres, capsules,"
            f" cylinders and planes; {_WAY_OUT}."
        )
    shape = _SHAPES[kind]
    if shape is Shape.CYLINDER and scale[2] != 0:
        raise ZprlError(f"{label} is a cylinder with a bulge, and the ray caster draws straight ones; {_WAY_OUT}.")
    if shape is Shape.PLANE:  # the whole width and length, or 0: without end
        scale = np.where(scale > 0, scale / 2, np.inf)
    return shape, scale


def _numpy(array: Any) -> NDArray[Any]:
    return array.numpy()
