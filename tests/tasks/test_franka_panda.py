# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The authored robot: its file, its kinematics and its masses."""

import math

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.sim

# Modified Denavit-Hartenberg parameters as published by Franka: a [m], d [m], alpha [rad] of joints 1 to 7.
DH = [
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -math.pi / 2),
    (0.0, 0.316, math.pi / 2),
    (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2),
    (0.0, 0.0, math.pi / 2),
    (0.088, 0.0, math.pi / 2),
]

POSES = [
    [0.0, 0.0, 0.0, -math.pi / 2, 0.0, math.pi / 2, math.pi / 4],
    [0.0, -0.569, 0.0, -2.810, 0.0, 2.241, 0.785],
    [0.7, 0.4, -0.6, -1.2, 1.1, 2.0, -0.9],
]


def hand_pose(joints):
    """Return the homogeneous transform of the hand's frame."""
    pose = np.eye(4)
    for theta, (a, d, alpha) in zip(joints, DH, strict=True):
        ct, st, ca, sa = math.cos(theta), math.sin(theta), math.cos(alpha), math.sin(alpha)
        pose = pose @ np.array(
            [
                [ct, -st, 0.0, a],
                [st * ca, ct * ca, -sa, -sa * d],
                [st * sa, ct * sa, ca, ca * d],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )
    c = math.cos(math.pi / 4)
    flange_to_hand = np.array([[c, c, 0.0, 0.0], [-c, c, 0.0, 0.0], [0.0, 0.0, 1.0, 0.107], [0.0, 0.0, 0.0, 1.0]])
    return pose @ flange_to_hand


def test_file_is_what_the_generator_writes(tmp_path):
    from zprl.tasks.robots.assets import FRANKA_PANDA_USD
    from zprl.tasks.robots.assets.franka_panda import write_franka_panda

    written = write_franka_panda(tmp_path / "franka_panda.usda")
    assert written.read_text() == FRANKA_PANDA_USD.read_text(), "run `python tasks/robots/assets/franka_panda.py`"


def test_impossible_inertia_is_refused():
    from zprl.tasks.robots.assets.authoring import principal_inertia

    with pytest.raises(ValueError, match="No rigid body"):
        principal_inertia((1.0, 1.0, 3.0, 0.0, 0.0, 0.0))


def test_principal_axes_reproduce_the_inertia():
    from isaaclab.utils.math import matrix_from_quat

    from zprl.tasks.robots.assets.authoring import principal_inertia
    from zprl.tasks.robots.assets.franka_panda import FRANKA_PANDA_LINKS

    for link in FRANKA_PANDA_LINKS:
        moments, (w, x, y, z) = principal_inertia(link.inertia)
        rotation = matrix_from_quat(torch.tensor([[x, y, z, w]], dtype=torch.float64))[0].numpy()
        ixx, iyy, izz, ixy, ixz, iyz = link.inertia
        expected = np.array([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]])
        np.testing.assert_allclose(rotation @ np.diag(moments) @ rotation.T, expected, atol=1e-9, err_msg=link.name)


def test_mass_of_boxes_is_that_of_the_pieces():
    from zprl.tasks.robots.assets.authoring import Shape, of_boxes

    # A box of 2 kg in two pieces: its moments are m (b^2 + c^2) / 12, as if it had not been cut.
    pieces = [Shape("box", (0.1, 0.3, 0.4), (0.05, 1.0, 0.0)), Shape("box", (0.2, 0.3, 0.4), (0.2, 1.0, 0.0))]
    com, inertia = of_boxes(2.0, pieces)
    assert com == pytest.approx((0.15, 1.0, 0.0), abs=1e-12)
    expected = [2.0 * (b**2 + c**2) / 12 for b, c in ((0.3, 0.4), (0.3, 0.4), (0.3, 0.3))]
    assert inertia == pytest.approx((*expected, 0.0, 0.0, 0.0), abs=1e-12)
    # Two cubes on the diagonal of x and y: m d^2 each, and a product of inertia.
    cubes = [Shape("box", (0.1, 0.1, 0.1), (side, side, 0.0)) for side in (-1.0, 1.0)]
    own = 2.0 * 0.1**2 / 6
    assert of_boxes(2.0, cubes)[1] == pytest.approx((2 + own, 2 + own, 4 + own, -2.0, 0.0, 0.0), abs=1e-12)
    with pytest.raises(ValueError, match="of boxes only"):
        of_boxes(1.0, [Shape("capsule", (0.1, 0.2))])


def test_hand_is_where_the_dh_parameters_put_it_in_the_ready_pose():
    # Worked out by hand: the upper arm is vertical, the forearm horizontal, the hand points straight down.
    pose = hand_pose(POSES[0])
    np.testing.assert_allclose(pose[:3, 3], [0.088 + 0.384 + 0.0825, 0.0, 0.333 + 0.316 + 0.0825 - 0.107], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 2], [0.0, 0.0, -1.0], atol=1e-12)


@pytest.mark.parametrize("joints", POSES)
def test_forward_kinematics(fresh_env, joints):
    from isaaclab.utils.math import matrix_from_quat

    robot = fresh_env.scene["robot"]
    position = torch.tensor([[*joints, 0.02, 0.03]]).expand(fresh_env.num_envs, -1).contiguous()
    robot.write_joint_position_to_sim_index(position=position)
    fresh_env.sim.forward()
    fresh_env.scene.update(0.0)
    hand, left, right = (robot.body_names.index(f"panda_{name}") for name in ("hand", "leftfinger", "rightfinger"))
    expected = hand_pose(joints)
    pos, quat = robot.data.body_pos_w.torch[0], robot.data.body_quat_w.torch[0]
    np.testing.assert_allclose(pos[hand].numpy(), expected[:3, 3], atol=1e-5)
    np.testing.assert_allclose(matrix_from_quat(quat[hand]).numpy(), expected[:3, :3], atol=1e-5)
    # The fingers open along the hand's y axis, the left one in its direction.
    for body, offset in ((left, 0.02), (right, -0.03)):
        np.testing.assert_allclose(pos[body].numpy(), (expected @ [0.0, offset, 0.0584, 1.0])[:3], atol=1e-5)


def test_masses(fresh_env):
    from zprl.tasks.robots.assets.franka_panda import FRANKA_PANDA_LINKS

    robot = fresh_env.scene["robot"]
    masses = dict(zip(robot.body_names, robot.data.body_mass.torch[0].tolist(), strict=True))
    assert masses == pytest.approx({link.name: link.mass for link in FRANKA_PANDA_LINKS})
