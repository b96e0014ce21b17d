# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the ray caster shows of Newton's models, made by hand; tests/tasks/test_lift.py has one of a task."""

# Warp's annotations fit no pair of functions.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportOptionalMemberAccess=false

import newton
import numpy as np
import pytest
import warp as wp

from zprl.profiling.render import SAME, NativeImages, NewtonImages, compare
from zprl.sim.isaaclab.primitives import visible_primitives, world_bodies
from zprl.sim.render import RayCaster, Shape
from zprl.utils.errors import ZprlError

from . import reference
from .scenes import FORWARD, camera, poses

pytest.importorskip("zprl._core", reason="the native libraries are not built")

pytestmark = pytest.mark.sim


def look(visible=True):
    return newton.ModelBuilder.ShapeConfig(is_visible=visible)


def place(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0, 1.0)):
    return wp.transform((x, y, z), turn)


def world():
    """All primitives on two bodies, one of them hidden, and a table."""
    builder = newton.ModelBuilder()
    body = builder.add_body(xform=place(1, 2, 3, (0.0, 0.6, 0.0, 0.8)), label="arm")
    builder.add_shape_box(
        body, xform=place(0.1, 0, 0), hx=0.1, hy=0.2, hz=0.3, cfg=look(), color=(1, 0, 0), label="box"
    )
    builder.add_shape_box(body, hx=1, hy=1, hz=1, cfg=look(visible=False), label="collider")
    builder.add_shape_capsule(
        body, xform=place(0, 0.1, 0, (0.5, 0.5, 0.5, 0.5)), radius=0.05, half_height=0.2, cfg=look(), label="capsule"
    )
    other = builder.add_body(xform=place(4, 5, 6), label="ball")
    builder.add_shape_sphere(other, radius=0.3, cfg=look(), label="sphere")
    builder.add_shape_cylinder(other, radius=0.1, half_height=0.4, cfg=look(), label="cylinder")
    builder.add_shape_plane(xform=place(0, 0, -1), width=0.0, length=3.0, cfg=look(), label="table")
    return builder


def finalized(*worlds):
    builder = newton.ModelBuilder()
    for each in worlds:
        builder.add_world(each)
    return builder.finalize(device="cpu")


def test_what_is_visible():
    model = finalized(world(), world())
    seen = visible_primitives(model)
    assert seen.labels == ("box", "capsule", "sphere", "cylinder", "table")
    assert seen.primitives.shapes.tolist() == [Shape.BOX, Shape.CAPSULE, Shape.SPHERE, Shape.CYLINDER, Shape.PLANE]
    sizes = [(0.1, 0.2, 0.3), (0.05, 0.2, 0), (0.3, 0, 0), (0.1, 0.4, 0), (np.inf, 1.5, np.inf)]
    np.testing.assert_allclose(seen.primitives.sizes[:, :2], np.array(sizes)[:, :2], rtol=1e-6)
    assert seen.primitives.colors[0].tolist() == [1, 0, 0] and seen.colors is None
    assert seen.bodies.tolist() == [0, 0, 1, 1, -1] and world_bodies(model).tolist() == [[0, 1], [2, 3]]


def test_poses_are_the_bodies_with_the_shapes_upon_them():
    model = finalized(world(), world())
    state = model.state()
    bodies = state.body_q.numpy()
    bodies[2:, 0] += 10
    placed = visible_primitives(model).poses(bodies[world_bodies(model)])
    assert placed.dtype == np.float32 and placed.shape == (2, 5, 7)
    turn, own = reference.rotation((0, 0.6, 0, 0.8)), reference.rotation((0.5, 0.5, 0.5, 0.5))
    for number, shift in enumerate((0, 10)):
        box, capsule, sphere, _, table = placed[number]
        np.testing.assert_allclose(box[:3], [1 + shift, 2, 3] + turn @ [0.1, 0, 0], atol=1e-6)
        np.testing.assert_allclose(capsule[:3], [1 + shift, 2, 3] + turn @ [0, 0.1, 0], atol=1e-6)
        np.testing.assert_allclose(reference.rotation(capsule[3:]), turn @ own, atol=1e-6)
        np.testing.assert_allclose(sphere, [4 + shift, 5, 6, 0, 0, 0, 1], atol=1e-6)
        np.testing.assert_allclose(table, [0, 0, -1, 0, 0, 0, 1], atol=1e-6)


def test_what_belongs_to_no_world_is_seen_in_all():
    builder = newton.ModelBuilder()
    builder.add_shape_plane(xform=place(0, 0, -1), width=0.0, length=0.0, cfg=look(), label="ground")
    for _ in range(2):
        builder.add_world(world())
    seen = visible_primitives(builder.finalize(device="cpu"))
    assert seen.labels == ("box", "capsule", "sphere", "cylinder", "table", "ground")
    assert seen.bodies.tolist() == [0, 0, 1, 1, -1, -1]


def test_colors_of_each_world():
    model = finalized(world(), world())
    colors = model.shape_color.numpy()
    colors[6] = (0, 0, 1)
    model.shape_color.assign(colors)
    seen = visible_primitives(model)
    assert seen.colors is not None
    assert seen.colors[:, 0].tolist() == [[1, 0, 0], [0, 0, 1]]
    eyes = np.repeat(poses(((-1.5, 2, 3), FORWARD))[0], 2, axis=0)
    placed = seen.poses(model.state().body_q.numpy()[world_bodies(model)])
    images = RayCaster(seen.primitives, camera()).render(placed, eyes, colors=seen.colors, outputs=("rgb",))["rgb"]
    assert (images[0, 24, 32, [0, 2]] > [0, -1]).all() and images[0, 24, 32, 2] == images[1, 24, 32, 0] == 0


def test_newton_draws_the_same():
    """Primitives from outside, and the plane to its edge; depth is off by what float32 makes of lengths."""
    builder = newton.ModelBuilder()
    things = ((0, 0, 0.4), (0, 0.5, 0.4), (0, -0.5, 0.4), (-0.5, 0.2, 0.1))
    turns = ((0.1, 0.2, 0.3, 0.9), (0.6, 0.1, 0.0, 0.8), (0.3, -0.6, 0.2, 0.7), (0.0, 0.0, 0.0, 1.0))
    places = [place(*thing, wp.normalize(wp.quat(*turn))) for thing, turn in zip(things, turns, strict=True)]
    bodies = [builder.add_body(xform=each) for each in places]
    builder.add_shape_box(bodies[0], hx=0.1, hy=0.2, hz=0.15, cfg=look(), color=(0.9, 0.3, 0.1))
    builder.add_shape_capsule(bodies[1], radius=0.1, half_height=0.15, cfg=look(), color=(0.2, 0.3, 0.9))
    builder.add_shape_cylinder(bodies[2], radius=0.12, half_height=0.2, cfg=look(), color=(0.2, 0.8, 0.3))
    builder.add_shape_sphere(bodies[3], radius=0.15, cfg=look(), color=(0.5, 0.5, 0.5))
    builder.add_shape_plane(width=2.0, length=3.0, cfg=look(), color=(0.7, 0.6, 0.5))
    model = finalized(builder, builder)
    cam, state = camera(96, 72, 80.0, far=1000.0), model.state()
    downwards = np.array((0.4135, -0.4135, -0.5735, 0.5735))
    pose = poses(((-1.8, 0.1, 0.9), downwards / np.linalg.norm(downwards)))[0, 0]
    newton_images = NewtonImages(model, state, cam, pose)
    newton_images.draw(depth=True)  # compiles for some seconds where it never has
    images = NativeImages(model, state, cam, pose, SAME).draw_all()
    assert set(np.unique(images["segmentation"])) == {-1, 0, 1, 2, 3, 4}
    agreement = compare(newton_images, images)
    assert agreement.inside < 1e-4
    assert agreement.silhouettes < 0.2
    assert agreement.color < 0.2


def mesh(builder):
    corners = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], dtype=np.float32)
    faces = np.array([0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3], dtype=np.int32)
    builder.add_shape_mesh(-1, mesh=newton.Mesh(corners, faces), cfg=look(), label="/World/Teapot")


def cone(builder):
    builder.add_shape_cone(-1, radius=0.1, half_height=0.1, cfg=look(), label="/World/Cone")


def test_other_shapes_are_refused_by_name_unless_hidden():
    for add, message in (
        (mesh, r"/World/Teapot is a mesh, and .*; choose renderer=newton_renderer"),
        (cone, "/World/Cone is a cone"),
    ):
        builder = world()
        add(builder)
        model = finalized(builder)
        with pytest.raises(ZprlError, match=message):
            visible_primitives(model)
        flags = model.shape_flags.numpy()
        flags[-1] &= ~int(newton.ShapeFlags.VISIBLE)
        model.shape_flags.assign(flags)
        assert len(visible_primitives(model).labels) == 5


def test_worlds_that_differ_are_refused():
    more = world()
    more.add_shape_sphere(-1, radius=0.1, cfg=look())
    with pytest.raises(ZprlError, match=r"world 1 shows 6 shapes and world 0 5, .*; choose renderer=newton_renderer"):
        visible_primitives(finalized(world(), more))
    model = finalized(world(), world())
    scales = model.shape_scale.numpy()
    scales[6 + 3] *= 2
    model.shape_scale.assign(scales)
    with pytest.raises(
        ZprlError, match=r"sphere has another shape or size in world 1, .*; choose renderer=newton_renderer"
    ):
        visible_primitives(model)
