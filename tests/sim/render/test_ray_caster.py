# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Pictures against geometry that can be worked out, and against a plain ray caster in double precision."""

import math

import numpy as np
import pytest

from zprl.sim.render import RayCaster, RenderStyle, Shape

from . import reference
from .scenes import ALL, FORWARD, UPRIGHT, camera, crowd, poses, primitives

pytest.importorskip("zprl._core", reason="the native libraries are not built")

INSIDE = [
    (Shape.SPHERE, (0.5,), 0.5),
    (Shape.BOX, (0.4, 0.3, 0.2), 0.4),
    (Shape.CAPSULE, (0.3, 0.4), 0.3),
    (Shape.CYLINDER, (0.25, 0.4), 0.25),
]
EYE = poses(((0, 0, 0), FORWARD))[0]


def draw(things, where, eye=EYE, cam=None, style=None, **options):
    """Draw one world; return its images by name."""
    images = RayCaster(things, cam or camera(), style or RenderStyle()).render(where, eye, outputs=ALL, **options)
    return {name: image[0] for name, image in images.items()}


def centers(cam):
    """Where the pixels' rays meet the plane at depth 1, to the right and upwards."""
    return np.meshgrid((np.arange(cam.width) + 0.5 - cam.cx) / cam.fx, (cam.cy - np.arange(cam.height) - 0.5) / cam.fy)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("style", [RenderStyle(samples=1), RenderStyle(samples=2, shadows=True)])
def test_reference(seed, style):
    things, where, eyes = crowd(seed)
    cam = camera(18, 14, 16.0, fx=14.0, near=0.1, far=3.0)
    colors = things.colors[::-1].copy()
    light = np.array([0.3, -0.5, -0.8], dtype=np.float32)
    images = draw(things, where, eyes, cam, style, colors=colors[None], lights=light[None])
    rgb, depth, segmentation = reference.render(things, cam, style, where[0], eyes[0], light, colors)
    assert len(np.unique(segmentation)) > 4
    assert (images["segmentation"] == segmentation).all()
    hit = np.isfinite(depth)
    np.testing.assert_array_equal(np.isfinite(images["depth"]), hit)
    np.testing.assert_allclose(images["depth"][hit], depth[hit], atol=1e-5)
    # One level apart, where the colour is right between two.
    assert (np.abs(images["rgb"] - rgb.astype(int)) <= 1).all()
    assert (images["rgb"] == rgb.astype(int)).mean() > 0.99


@pytest.mark.parametrize(("right", "up"), [(0.0, 0.0), (0.3, -0.25)])
def test_silhouette_of_a_sphere(right, up):
    """A pixel shows the sphere if and only if its ray passes the centre within the radius."""
    cam, radius = camera(), 0.4
    center = np.array([right, up, 2.0])
    images = draw(primitives((Shape.SPHERE, (radius,))), poses(((2.0, -right, up), UPRIGHT)), cam=cam)
    u, v = centers(cam)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1)
    distance = np.linalg.norm(np.cross(rays, center), axis=-1) / np.linalg.norm(rays, axis=-1)
    np.testing.assert_array_equal(images["segmentation"] == 0, distance <= radius)
    if right == up == 0:  # an ellipse in general
        area = np.pi * (cam.fx * radius / math.sqrt(2.0**2 - radius**2)) ** 2
        assert (images["segmentation"] == 0).sum() == pytest.approx(area, rel=0.02)
        assert images["depth"][23, 31] == pytest.approx(1.6, abs=1e-3)


def test_corners_of_a_box():
    """The near face is a rectangle, 20 x 12 pixels here, and its depth is constant."""
    cam = camera()
    half = (0.3, 20 / 60, 12 / 60)  # at depth 2, 10 and 6 pixels
    images = draw(primitives((Shape.BOX, half)), poses(((2.3, 0, 0), UPRIGHT)), cam=cam)
    expected = np.zeros((48, 64), dtype=bool)
    expected[24 - 6 : 24 + 6, 32 - 10 : 32 + 10] = True
    np.testing.assert_array_equal(images["segmentation"] == 0, expected)
    np.testing.assert_allclose(images["depth"][expected], 2.0, atol=1e-6)


def test_depth_of_a_tilted_plane():
    """Through (2, 0, 0), 30 degrees about y, and 0.5 m to each side."""
    cam, angle = camera(), math.radians(30)
    tilt = (0.0, math.sin((angle - math.pi / 2) / 2), 0.0, math.cos((angle - math.pi / 2) / 2))
    images = draw(primitives((Shape.PLANE, (np.inf, 0.5))), poses(((2.0, 0, 0), tilt)), cam=cam)
    u, v = centers(cam)
    # Normal (-cos 30, 0, sin 30): -cos 30 (t - 2) + sin 30 v t = 0.
    depth = 2 * math.cos(angle) / (math.cos(angle) - math.sin(angle) * v)
    inside = np.abs(u * depth) <= 0.5
    np.testing.assert_array_equal(images["segmentation"] == 0, inside)
    np.testing.assert_allclose(images["depth"][inside], depth[inside], rtol=1e-6)
    assert 0 < inside.sum() < inside.size


@pytest.mark.parametrize(("shape", "nearest"), [(Shape.CAPSULE, 2 - 0.5 - 0.2), (Shape.CYLINDER, 2 - 0.5)])
def test_ends_of_capsule_and_cylinder(shape, nearest):
    """Along the axis its end is seen, from the side its length."""
    cam = camera(61, 61, 59.0, cx=30.5, cy=30.5)
    thing = primitives((shape, (0.2, 0.5)))
    lying, standing = poses(((2, 0, 0), (0, math.sqrt(0.5), 0, math.sqrt(0.5)))), poses(((2, 0, 0), UPRIGHT))
    end = draw(thing, lying, cam=cam)
    assert end["depth"][30, 30] == pytest.approx(nearest, abs=1e-6)
    u, v = centers(cam)
    if shape is Shape.CYLINDER:  # the disc of the near end, and no mantle beside it
        np.testing.assert_array_equal(end["segmentation"] == 0, np.hypot(u, v) * nearest <= 0.2)
    side = draw(thing, standing, cam=cam)
    assert side["depth"][30, 30] == pytest.approx(1.8, abs=1e-6)
    middle = side["segmentation"][:, 30] == 0
    # From (0, 0): a cylinder's near rim at depth 1.8, a capsule's tangent to the ball around (2, 0.5).
    highest = (
        0.5 / 1.8 if shape is Shape.CYLINDER else math.tan(math.atan2(0.5, 2) + math.asin(0.2 / math.hypot(0.5, 2)))
    )
    np.testing.assert_array_equal(middle, np.abs(v[:, 30]) <= highest)


@pytest.mark.parametrize(("shape", "size", "wall"), INSIDE)
def test_from_inside_the_far_wall_is_seen(shape, size, wall):
    images = draw(primitives((shape, size)), poses(((0, 0, 0), UPRIGHT)), cam=camera(9, 9, cx=4.5, cy=4.5))
    assert (images["segmentation"] == 0).all()
    assert images["depth"][4, 4] == pytest.approx(wall, abs=1e-6)


@pytest.mark.parametrize(("shape", "size"), [*((shape, size) for shape, size, _ in INSIDE), (Shape.PLANE, (1, 1))])
def test_what_is_behind_the_camera_is_not_seen(shape, size):
    where = poses(((-2, 0, 0), (0, math.sqrt(0.5), 0, math.sqrt(0.5))))
    assert (draw(primitives((shape, size)), where)["segmentation"] == -1).all()


@pytest.mark.parametrize("bad", [(0, np.nan), (2, np.inf), (5, np.nan), "zero quaternion"])
def test_a_pose_that_is_none_hides_its_primitive(bad):
    things, where, eyes = crowd(1)
    hidden = where.copy()
    if isinstance(bad, str):
        hidden[0, 4, 3:] = 0
    else:
        hidden[0, 4, bad[0]] = bad[1]
    keep = np.arange(len(things)) != 4
    fewer = type(things)(things.shapes[keep], things.sizes[keep], things.colors[keep], things.ids[keep])
    style = RenderStyle(shadows=True)
    images, expected = draw(things, hidden, eyes, style=style), draw(fewer, where[:, keep], eyes, style=style)
    assert (draw(things, where, eyes, style=style)["segmentation"] == things.ids[4]).any()
    for name in ALL:
        np.testing.assert_array_equal(images[name], expected[name])
    eyes[0, bad[0] if not isinstance(bad, str) else slice(3, 7)] = 0 if isinstance(bad, str) else bad[1]
    blind = draw(things, where, eyes)
    assert (blind["segmentation"] == -1).all() and np.isinf(blind["depth"]).all() and (blind["rgb"] == 238).all()


def test_pictures_turn_with_the_world():
    things, where, eyes = crowd(2)
    turn = reference.rotation((0.3, -0.2, 0.5, 0.8))
    x, y, z, w = np.array((0.3, -0.2, 0.5, 0.8)) / np.linalg.norm((0.3, -0.2, 0.5, 0.8))

    def turned(pose):
        p = pose.astype(float)
        left = np.array([[w, -z, y, x], [z, w, -x, y], [-y, x, w, z], [-x, -y, -z, w]])  # product of quaternions
        return np.concatenate([p[..., :3] @ turn.T + [1, 2, 3], p[..., 3:] @ left.T], axis=-1).astype(np.float32)

    before, after = draw(things, where, eyes), draw(things, turned(where), turned(eyes))
    same = before["segmentation"] == after["segmentation"]
    assert same.mean() > 0.998
    hit = same & (before["depth"] < 10)  # and not at the horizon
    np.testing.assert_allclose(before["depth"][hit], after["depth"][hit], rtol=1e-4)


def test_the_length_of_a_quaternion_says_nothing():
    things, where, eyes = crowd(2)
    longer, closer = where.copy(), eyes.copy()
    longer[..., 3:] *= 4
    closer[..., 3:] *= -2
    for name in ALL:
        np.testing.assert_array_equal(draw(things, where, eyes)[name], draw(things, longer, closer)[name])


@pytest.mark.parametrize("slant", [0.0, 0.75])
def test_shadow_of_a_sphere(slant):
    """On the floor it is where the light's way passes the centre within the radius."""
    cam, radius, height = camera(64, 64, cx=32, cy=32), 0.2, 1.0
    things = primitives((Shape.PLANE, (np.inf, np.inf)), (Shape.SPHERE, (radius,)), colors=np.full((2, 3), 0.5))
    where = poses(((0, 0, 0), UPRIGHT), ((0, 0, height), UPRIGHT))
    eye = poses(((0.6, 0, 2.0), UPRIGHT))[0]  # looks down, and right is x
    light = np.array([slant, 0, -1.0])
    styles = (RenderStyle(samples=1), RenderStyle(samples=1, shadows=True))
    plain, shadowed = (draw(things, where, eye, cam, s, lights=light[None].astype(np.float32)) for s in styles)
    u, v = centers(cam)
    offset = np.stack([0.6 + 2 * u, 2 * v, np.full_like(u, -height)], axis=-1)
    distance = np.linalg.norm(np.cross(offset, light / np.linalg.norm(light)), axis=-1)
    floor = plain["segmentation"] == 0
    dark = (plain["rgb"] != shadowed["rgb"]).any(axis=-1)
    np.testing.assert_array_equal(dark[floor], (distance <= radius)[floor])
    assert dark[floor].any()
    up = 1 / np.linalg.norm(light)
    for images, share in ((plain, 1.0), (shadowed, 0.3)):
        colour = np.floor(255 * reference.to_srgb(reference.to_linear(0.5) * (0.5 * reference.SKY + share * up)))
        assert (images["rgb"][floor & (distance <= radius)] == colour).all()
    # The light side of the sphere itself lies in no shadow, and its other side gets no light.
    assert not dark[~floor].any()


def test_four_samples_are_averaged_in_linear_light():
    things, where, eyes = crowd(3)
    style = RenderStyle(shadows=True)
    smooth = draw(things, where, eyes, camera(), style)
    fine = draw(things, where, eyes, camera(128, 96, 120.0), RenderStyle(samples=1, shadows=True))
    # A level stands for its middle, as all of it is rounded down.
    linear = reference.to_linear((fine["rgb"] + 0.5) / 255.5).reshape(48, 2, 64, 2, 3).mean(axis=(1, 3))
    difference = np.abs(smooth["rgb"] - 255.5 * reference.to_srgb(linear) + 0.5)
    assert difference.max() < 1.2
    single = draw(things, where, eyes, camera(), RenderStyle(samples=1, shadows=True))
    assert (single["rgb"] != smooth["rgb"]).any()
    for name in ("depth", "segmentation"):
        np.testing.assert_array_equal(single[name], smooth[name])


def test_clipping():
    """A sphere around (2, 0, 0) is seen between the planes alone; cut open, it shows its inside."""
    ball, where = primitives((Shape.SPHERE, (0.5,))), poses(((2, 0, 0), UPRIGHT))

    def middle(near, far):
        images = draw(
            ball, where, cam=camera(9, 9, cx=4.5, cy=4.5, near=near, far=far), style=RenderStyle(background_depth=-1)
        )
        return images["depth"][4, 4]

    assert middle(1.4, 1.6) == pytest.approx(1.5, abs=1e-6)
    assert middle(1.6, 3.0) == pytest.approx(2.5, abs=1e-6)
    assert middle(0.1, 1.4) == middle(1.6, 2.4) == middle(2.6, 9.0) == -1


def test_of_coincident_surfaces_the_first_is_seen():
    box = (Shape.BOX, (0.3, 0.3, 0.3))
    images = draw(primitives(box, box), poses(((2, 0, 0), UPRIGHT), ((2, 0, 0), UPRIGHT)))
    assert set(np.unique(images["segmentation"])) == {-1, 0}


def test_background_and_light_of_each_world():
    things = primitives((Shape.SPHERE, (0.5,)), ids=[7], colors=[(1.0, 0.5, 0.0)])
    where, eyes = np.repeat(poses(((2, 0, 0), UPRIGHT)), 3, axis=0), np.repeat(EYE, 3, axis=0)
    style = RenderStyle(background=(0.0, 0.5, 1.0), background_depth=9.0, background_id=3)
    lights = np.array([(1, 0, 0), (0, 0, 0), (np.nan, 0, 0)], dtype=np.float32)
    images = RayCaster(things, camera(), style).render(where, eyes, lights=lights, outputs=ALL)
    assert (images["rgb"][:, 0, 0] == (0, 128, 255)).all()
    assert (images["depth"][:, 0, 0] == 9).all() and (images["segmentation"][:, 0, 0] == 3).all()
    assert (images["segmentation"][:, 24, 32] == 7).all()
    ambient = reference.to_linear((1.0, 0.5, 0.0)) * (reference.SKY + reference.GROUND) / 4
    colors = images["rgb"][:, 24, 32].astype(float)
    assert np.abs(colors[1:] - 255 * reference.to_srgb(ambient)).max() < 2
    assert (colors[0, :2] > colors[1, :2]).all() and (colors[1] == colors[2]).all()


def test_a_scene_can_be_empty():
    images = draw(primitives(), np.zeros((1, 0, 7), np.float32), style=RenderStyle(shadows=True))
    assert (images["segmentation"] == -1).all()
