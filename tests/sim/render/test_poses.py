# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Poses against rotation matrices in double precision."""

import numpy as np
import pytest

from zprl.sim.render import composed, looking, turned

from .reference import rotation


def random_poses(generator, *shape):
    quaternions = generator.normal(size=(*shape, 4))
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    return np.concatenate([generator.normal(size=(*shape, 3)), quaternions], axis=-1).astype(np.float32)


def test_poses_are_composed_like_matrices():
    generator = np.random.default_rng(0)
    frames, local = random_poses(generator, 5, 1), random_poses(generator, 5, 3)
    together = composed(frames, local)
    assert together.shape == (5, 3, 7) and together.dtype == np.float32
    for i in range(5):
        for j in range(3):
            turn = rotation(frames[i, 0, 3:])
            np.testing.assert_allclose(together[i, j, :3], frames[i, 0, :3] + turn @ local[i, j, :3], atol=1e-5)
            np.testing.assert_allclose(rotation(together[i, j, 3:]), turn @ rotation(local[i, j, 3:]), atol=1e-5)


@pytest.mark.parametrize(
    ("eye", "target", "up"),
    [((1.05, 0, 0.5), (0.46, 0, 0.13), (0, 0, 1)), ((0.085, 0, 0.015), (0.045, 0, 0.2), (1, 0, 0)),
     ((0, 0, 0), (-3, 2, 1), (0.3, 0.2, 5))],
)  # fmt: skip
def test_a_camera_looks_at_its_target(eye, target, up):
    pose = looking(eye, target, up)
    turn = rotation(pose[3:])
    np.testing.assert_allclose(pose[:3], eye, rtol=1e-6)
    ahead = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    np.testing.assert_allclose(turn @ [0, 0, -1], ahead, atol=1e-6)
    assert turn[:, 1] @ up > 0 and abs(turn[:, 0] @ up) < 1e-6  # up is up, and the horizon level


@pytest.mark.parametrize(
    ("eye", "target", "up"), [((1, 2, 3), (1, 2, 3), (0, 0, 1)), ((0, 0, 1), (0, 0, 0), (0, 0, 2))]
)
def test_a_camera_that_looks_nowhere_is_refused(eye, target, up):
    with pytest.raises(ValueError, match="cannot look at"):
        looking(eye, target, up)


def test_rotation_vectors():
    vectors = np.array([[0, 0, 0], [0, 0, np.pi / 2], [1e-8, 0, 0], [0.3, -0.4, 0.5]])
    turns = [rotation(quaternion) for quaternion in turned(vectors)]
    np.testing.assert_allclose(turns[0], np.eye(3), atol=1e-7)
    np.testing.assert_allclose(turns[1] @ [1, 0, 0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(turns[2] @ [0, 1, 0], [0, 1, 1e-8], atol=1e-6)
    angle = np.linalg.norm(vectors[3])
    assert np.isclose(np.trace(turns[3]), 1 + 2 * np.cos(angle), atol=1e-6)
    np.testing.assert_allclose(turns[3] @ vectors[3], vectors[3], atol=1e-6)
