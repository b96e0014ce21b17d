# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Pictures do not depend on worlds, threads, order, or how an image is cut up; and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch

from zprl.sim.render import PinholeCamera, Primitives, RayCaster, RenderStyle, Shape
from zprl.utils.errors import ZprlError

from .scenes import ALL, camera, crowd, primitives

pytest.importorskip("zprl._core", reason="the native libraries are not built")

STYLES = [RenderStyle(samples=1), RenderStyle(shadows=True)]


@pytest.mark.parametrize("style", STYLES)
def test_worlds_and_threads(style):
    things, where, eyes = crowd(0, worlds=7)
    one, two, three = (RayCaster(things, camera(), style, threads) for threads in (1, 2, 3))
    images = one.render(where, eyes, outputs=ALL)
    for name in ALL:
        for other in (two, three):
            np.testing.assert_array_equal(images[name], other.render(where, eyes, outputs=ALL)[name])
        np.testing.assert_array_equal(images[name], two.render(where, eyes, outputs=[name])[name])
        alone = [two.render(where[i : i + 1], eyes[i : i + 1], outputs=[name])[name] for i in range(7)]
        np.testing.assert_array_equal(images[name], np.concatenate(alone))


@pytest.mark.parametrize("style", STYLES)
def test_windows_of_an_image(style):
    """A large image, which threads share in strips, is that of windows that begin anywhere."""
    things, where, eyes = crowd(4, count=40)
    cam = camera(203, 130, 150.0)
    whole = RayCaster(things, cam, style, threads=2).render(where, eyes, outputs=ALL)
    assert len(np.unique(whole["segmentation"])) > 20
    for left, top, width, height in ((0, 0, 1, 1), (1, 2, 37, 29), (101, 77, 102, 53), (202, 129, 1, 1)):
        window = dataclasses.replace(cam, width=width, height=height, cx=cam.cx - left, cy=cam.cy - top)
        images = RayCaster(things, window, style).render(where, eyes, outputs=ALL)
        for name in ALL:
            np.testing.assert_array_equal(images[name], whole[name][:, top : top + height, left : left + width])


def test_order_of_many_primitives():
    things, where, eyes = crowd(5, count=150)
    order = np.random.default_rng(0).permutation(150)
    shuffled = Primitives(things.shapes[order], things.sizes[order], things.colors[order], things.ids[order])
    style = RenderStyle(samples=1, shadows=True)
    images = RayCaster(things, camera(), style).render(where, eyes, outputs=ALL)
    other = RayCaster(shuffled, camera(), style).render(where[:, order], eyes, outputs=ALL)
    assert len(np.unique(images["segmentation"])) > 60
    for name in ALL:
        np.testing.assert_array_equal(images[name], other[name])


def test_images_are_written_where_they_shall_be():
    things, where, eyes = crowd(0, worlds=2)
    caster = RayCaster(things, camera())
    expected = caster.render(where, eyes, outputs=ALL)
    out = {
        "rgb": torch.zeros(2, 48, 64, 3, dtype=torch.uint8),
        "depth": np.zeros((2, 48, 64), dtype=np.float32),
        "segmentation": torch.zeros(2, 48, 64, dtype=torch.int32),
    }
    returned = caster.render(torch.from_numpy(where), torch.from_numpy(eyes), out=out)
    for name in ALL:
        assert returned[name] is out[name]
        np.testing.assert_array_equal(np.asarray(out[name]), expected[name])


def test_inputs_need_not_be_contiguous():
    things, where, eyes = crowd(0, worlds=2)
    caster = RayCaster(things, camera())
    wide = np.repeat(where, 2, axis=2)[..., ::2]
    np.testing.assert_array_equal(caster.render(wide, eyes)["rgb"], caster.render(where, eyes)["rgb"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "an image is of 1 to 16384 pixels along each side"),
        ({"height": -3}, "an image is of 1 to 16384 pixels along each side"),
        ({"fx": 0.0}, "focal lengths must be positive"),
        ({"cy": np.nan}, "focal lengths and centre of the image must be finite"),
        ({"near": -0.1}, "the far clipping plane must lie behind the near one, which is not negative"),
        ({"near": 2.0, "far": 1.0}, "the far clipping plane must lie behind the near one"),
        ({"far": np.nan}, "the far clipping plane must lie behind the near one"),
        ({"width": "wide"}, "the ray caster cannot be made"),
    ],
)
def test_cameras_that_are_refused(change, message):
    with pytest.raises(ZprlError, match=message):
        RayCaster(crowd(0)[0], dataclasses.replace(camera(), **change))


@pytest.mark.parametrize(
    ("style", "threads", "message"),
    [
        (RenderStyle(samples=3), 1, "a pixel has 1 or 2 samples along each axis"),
        (RenderStyle(ambient=np.nan), 1, "shares of light must be finite"),
        (RenderStyle(background=(0.0, 0.0, 2.0)), 1, "the background's colour must lie between 0 and 1"),
        (RenderStyle(), 0, "threads must be between 1 and 1024"),
        (RenderStyle(), 2000, "threads must be between 1 and 1024"),
    ],
)
def test_styles_that_are_refused(style, threads, message):
    with pytest.raises(ZprlError, match=message):
        RayCaster(crowd(0)[0], camera(), style, threads)


@pytest.mark.parametrize(
    ("things", "message"),
    [
        (lambda: primitives((9, (1.0,))), "primitive 0 has the shape 9, which is none of"),
        (lambda: primitives((Shape.BOX, (1, 1, 1)), (Shape.BOX, (1, np.inf, 1))), "primitive 1, a box, has the size"),
        (lambda: primitives((Shape.PLANE, (1, np.nan))), "primitive 0, a plane, has the size"),
        (lambda: primitives((Shape.CAPSULE, (0.1, -0.1))), "primitive 0, a capsule, has the size"),
        (lambda: primitives((Shape.SPHERE, (0.0,))), "primitive 0, a sphere, has the radius 0"),
        (lambda: primitives((Shape.SPHERE, (1,)), colors=[(0, 0, 1.1)]), "primitive 0 has the colour"),
        (lambda: Primitives([1], [[1.0, 0, 0]], [[1.0, 1.0]]), r"colors of 1 primitives must have the shape \(1, 3\)"),
        (lambda: primitives((Shape.SPHERE, (1,)), ids=[2**40]), "ids of primitives must be numbers"),
        (lambda: Primitives(["ball"], [[1.0, 0, 0]], [[1.0, 1.0, 1.0]]), "shapes of primitives must be numbers"),
    ],
)
def test_primitives_that_are_refused(things, message):
    with pytest.raises(ZprlError, match=message):
        things()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": np.zeros((2, 11, 7), np.float32)}, r"poses must have the shape \(2, 12, 7\), got \(2, 11, 7\)"),
        ({"camera_poses": np.zeros(7, np.float32)}, "camera_poses must have the shape"),
        ({"poses": np.zeros((2, 12, 7))}, "poses must have the dtype float32"),
        ({"lights": np.zeros((1, 3), np.float32)}, r"lights must have the shape \(2, 3\)"),
        ({"colors": torch.zeros(2, 3)}, r"colors must have the shape \(2, 12, 3\)"),
        ({"outputs": ["normals"]}, "there is no image 'normals' to draw; choose from rgb, depth, segmentation"),
        ({"out": {"rgb": np.zeros((2, 48, 64, 4), np.uint8)}}, r"rgb must have the shape \(2, 48, 64, 3\)"),
        ({"out": {"depth": np.zeros((2, 48, 64))}}, "depth must have the dtype float32"),
        ({"out": {"rgb": np.zeros((2, 48, 3, 64), np.uint8).swapaxes(2, 3)}}, "rgb must be writable and contiguous"),
        ({"out": {"depth": np.broadcast_to(np.float32(0), (2, 48, 64))}}, "depth must be writable and contiguous"),
        ({"lights": torch.zeros(2, 3, device="meta")}, "lights of the ray caster is on meta; it draws on the CPU"),
    ],
)
def test_arrays_that_are_refused(change, message):
    things, where, eyes = crowd(0, worlds=2)
    with pytest.raises(ZprlError, match=message):
        RayCaster(things, camera()).render(**({"poses": where, "camera_poses": eyes} | change))


def test_camera_of_an_aperture():
    """Half of the sensor's width over the focal length is half of the image's width over that in pixels."""
    cam = PinholeCamera.from_aperture(84, 64, focal_length=24.0, horizontal_aperture=20.0, near=0.02, far=5.0)
    assert (cam.width, cam.height, cam.cx, cam.cy, cam.near, cam.far) == (84, 64, 42, 32, 0.02, 5.0)
    assert cam.fx == cam.fy == pytest.approx(42 * 24 / 10)
