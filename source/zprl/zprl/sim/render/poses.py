# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Poses as rows of 7 numbers: position [m] and quaternion (x, y, z, w)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def composed(frames: NDArray[np.float32], local: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return poses in the frames' own frame.

    Args:
        frames: Poses of frames, (..., 7).
        local: Poses in these frames, (..., 7), of a shape to which the frames' can be broadcast.

    Returns:
        Poses of the common shape.
    """
    frames, local = np.broadcast_arrays(frames, local)
    axis, w = frames[..., 3:6], frames[..., 6:]
    # q v q* = v + 2 w (a x v) + 2 a x (a x v).
    twice = 2 * _cross(axis, local[..., :3])
    poses = np.empty(local.shape, dtype=np.float32)
    poses[..., :3] = frames[..., :3] + local[..., :3] + w * twice + _cross(axis, twice)
    poses[..., 3:6] = w * local[..., 3:6] + local[..., 6:] * axis + _cross(axis, local[..., 3:6])
    poses[..., 6] = w[..., 0] * local[..., 6] - (axis * local[..., 3:6]).sum(axis=-1)
    return poses


def looking(
    eye: Sequence[float], target: Sequence[float], up: Sequence[float] = (0.0, 0.0, 1.0)
) -> NDArray[np.float32]:
    """Return the pose of a camera that looks along -z with +y up, (7,).

    Args:
        eye: Where it is [m].
        target: What is in the middle of its image [m].
        up: Direction that is up in the image, not that in which it looks.

    Raises:
        ValueError: If it looks nowhere, or along ``up``.
    """
    backward = np.subtract(eye, target).astype(float)
    right = np.cross(up, backward)
    if not np.linalg.norm(right) > 1e-6 * np.linalg.norm(up) * np.linalg.norm(backward) > 0.0:
        raise ValueError(f"a camera at {tuple(eye)} cannot look at {tuple(target)} with {tuple(up)} up.")
    z, x = backward / np.linalg.norm(backward), right / np.linalg.norm(right)
    return np.array([*eye, *_quaternion(np.stack([x, np.cross(z, x), z], axis=1))], dtype=np.float32)


def turned(rotation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return quaternions (..., 4) of rotation vectors (..., 3) [rad]."""
    angle = np.linalg.norm(rotation, axis=-1, keepdims=True)
    # sin(a / 2) / a, which is 1 / 2 at 0; np.sinc has a pi inside.
    quaternion = np.concatenate([rotation * np.sinc(angle / (2 * np.pi)) / 2, np.cos(angle / 2)], axis=-1)
    return quaternion.astype(np.float32)


def _quaternion(rotation: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the quaternion (4,) of a rotation matrix (3, 3): the eigenvector of Bar-Itzhack's matrix (2000)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    matrix = np.array(
        [
            [xx - yy - zz, 0, 0, 0],
            [yx + xy, yy - xx - zz, 0, 0],
            [zx + xz, zy + yz, zz - xx - yy, 0],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    quaternion = np.linalg.eigh(matrix / 3.0)[1][:, -1]  # reads the lower triangle
    return quaternion if quaternion[3] >= 0.0 else -quaternion


def _cross(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Cross product of the last axes; NumPy's takes several times as long."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
