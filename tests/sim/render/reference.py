# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A single ray against primitives in plain double precision, surface by surface: what the ray caster is compared with.

It shares no formula with csrc/core/render: every surface that a primitive is made of is met by itself, and a meeting
counts if it lies on that surface's part of the primitive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zprl.sim.render import Shape

GROUND, SKY = np.array([0.1, 0.1, 0.12]), np.array([0.4, 0.4, 0.45])
DEFAULT_LIGHT = np.array([-1.0, 1.0, -1.0])
LIFT = 1e-4


def rotation(quaternion):
    """Rotation matrix of a quaternion (x, y, z, w)."""
    x, y, z, w = np.asarray(quaternion, dtype=float) / np.linalg.norm(quaternion)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def roots(a, b, c):
    """Solutions of a t^2 + 2 b t + c = 0."""
    if a == 0 or b * b < a * c:
        return []
    root = math.sqrt(b * b - a * c)
    return [(-b - root) / a, (-b + root) / a]


def meetings(shape, size, origin, direction):
    """All (length, outward normal) at which a ray meets a primitive, in the primitive's frame."""
    found = []

    def face(axis, level, normal, inside):
        if direction[axis] != 0:
            length = (level - origin[axis]) / direction[axis]
            if inside(origin + length * direction):
                found.append((length, np.array(normal, dtype=float)))

    def ball(center, radius, inside):
        offset = origin - center
        for length in roots(direction @ direction, offset @ direction, offset @ offset - radius**2):
            point = origin + length * direction
            if inside(point):
                found.append((length, (point - center) / radius))

    def mantle(radius, half):
        o, d = origin[:2], direction[:2]
        for length in roots(d @ d, o @ d, o @ o - radius**2):
            point = origin + length * direction
            if abs(point[2]) <= half:
                found.append((length, np.array([point[0], point[1], 0.0]) / radius))

    if shape == Shape.PLANE:
        face(2, 0.0, (0, 0, 1), lambda p: abs(p[0]) <= size[0] and abs(p[1]) <= size[1])
    elif shape == Shape.SPHERE:
        ball(np.zeros(3), size[0], lambda p: True)
    elif shape == Shape.BOX:
        for axis in range(3):
            others = [i for i in range(3) if i != axis]
            for side in (-1, 1):
                normal = side * np.eye(3)[axis]
                face(axis, side * size[axis], normal, lambda p, o=others: all(abs(p[i]) <= size[i] for i in o))
    elif shape == Shape.CAPSULE:
        radius, half = size[:2]
        mantle(radius, half)
        ball(np.array([0, 0, half]), radius, lambda p: p[2] >= half)
        ball(np.array([0, 0, -half]), radius, lambda p: p[2] <= -half)
    elif shape == Shape.CYLINDER:
        radius, half = size[:2]
        mantle(radius, half)
        for side in (-1, 1):
            face(2, side * half, (0, 0, side), lambda p: math.hypot(p[0], p[1]) <= radius)
    return found


@dataclass
class Seen:
    """What a ray meets first."""

    length: float
    index: int
    normal: np.ndarray
    """In the world."""


def cast(primitives, poses, origin, direction, near=0.0, far=math.inf):
    """Return what a ray through a world meets first between two lengths, or None."""
    best = None
    for index, (shape, size, pose) in enumerate(zip(primitives.shapes, primitives.sizes, poses, strict=True)):
        pose = np.asarray(pose, dtype=float)
        if not np.isfinite(pose).all() or not pose[3:].any():
            continue
        axes = rotation(pose[3:])
        for length, normal in meetings(shape, size.astype(float), axes.T @ (origin - pose[:3]), axes.T @ direction):
            if near <= length < (far if best is None else best.length):
                best = Seen(length, index, axes @ normal)
    return best


def to_linear(color):
    color = np.asarray(color, dtype=float)
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def to_srgb(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def shaded(primitives, poses, seen, point, style, light, colors=None):
    """Linear colour of a point that is seen."""
    albedo = to_linear((primitives.colors if colors is None else colors)[seen.index])
    to_light = -np.asarray(light, dtype=float)
    strength = 0.0
    if np.isfinite(to_light).all() and to_light.any():
        to_light /= np.linalg.norm(to_light)
        strength = max(0.0, float(seen.normal @ to_light))
        if style.shadows and strength > 0 and cast(primitives, poses, point + LIFT * seen.normal, to_light):
            strength *= style.shadow_light
    share = (seen.normal[2] + 1) / 2
    return albedo * (style.ambient * (SKY * share + GROUND * (1 - share)) + strength)


def ray(camera, camera_pose, column, row):
    """Origin and direction of the ray through a point of the image [px], whose length is the depth."""
    direction = np.array([(column - camera.cx) / camera.fx, -(row - camera.cy) / camera.fy, -1.0])
    camera_pose = np.asarray(camera_pose, dtype=float)
    return camera_pose[:3], rotation(camera_pose[3:]) @ direction


def render(primitives, camera, style, poses, camera_pose, light=DEFAULT_LIGHT, colors=None):
    """Draw one world: encoded colour in 0..255 before it is rounded down, depth and segmentation."""
    rgb = np.empty((camera.height, camera.width, 3))
    depth = np.full((camera.height, camera.width), float(style.background_depth))
    segmentation = np.full((camera.height, camera.width), style.background_id)
    visible = np.isfinite(camera_pose).all() and np.asarray(camera_pose)[3:].any()
    background = to_linear((np.round(255 * np.asarray(style.background)) + 0.5) / 255.5)
    offsets = [0.5] if style.samples == 1 else [0.25, 0.75]
    for row in range(camera.height):
        for column in range(camera.width):
            if visible:
                origin, direction = ray(camera, camera_pose, column + 0.5, row + 0.5)
                seen = cast(primitives, poses, origin, direction, camera.near, camera.far)
                if seen is not None:
                    depth[row, column], segmentation[row, column] = seen.length, primitives.ids[seen.index]
            samples = []
            for y in offsets:
                for x in offsets:
                    samples.append(background)
                    if visible:
                        origin, direction = ray(camera, camera_pose, column + x, row + y)
                        seen = cast(primitives, poses, origin, direction, camera.near, camera.far)
                        if seen is not None:
                            point = origin + seen.length * direction
                            samples[-1] = shaded(primitives, poses, seen, point, style, light, colors)
            rgb[row, column] = 255 * to_srgb(np.mean(samples, axis=0))
    return rgb, depth, segmentation
