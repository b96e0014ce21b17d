# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The terms' kernels, against the same in double precision by Isaac Lab's functions and PyTorch's solver."""

import pytest
import torch
import warp as wp

from isaaclab.utils.math import combine_frame_transforms, matrix_from_quat, subtract_frame_transforms

from zprl.tasks.mdp import kernels

pytestmark = pytest.mark.sim

WORLDS, BODIES, JOINTS = 32, 4, 7
OFFSET = (0.1, -0.2, 0.3)


def random_poses(*shape):
    """Return positions and unit quaternions, (*shape, 7)."""
    poses = torch.randn(*shape, 7, generator=torch.Generator().manual_seed(len(shape)))
    poses[..., 3:] /= poses[..., 3:].norm(dim=-1, keepdim=True)
    return poses


def launched(kernel, inputs, *size):
    """Return what a kernel writes, (WORLDS, *size)."""
    out = torch.full((WORLDS, *size), torch.nan)
    wp.launch(kernel, WORLDS, inputs=inputs, outputs=[out], device="cpu")
    return out


def seen_from(frame, poses):
    """Return positions and quaternions of poses in a frame, in double precision."""
    frame, poses = frame.double(), poses.double()
    return subtract_frame_transforms(frame[:, :3], frame[:, 3:], poses[:, :3], poses[:, 3:])


def nine_numbers(pos, quat):
    return torch.cat([pos, matrix_from_quat(quat)[:, :, :2].mT.flatten(1)], dim=1).float()


def test_poses():
    roots, bodies = random_poses(WORLDS), random_poses(WORLDS, BODIES)
    others = bodies[:, 0].contiguous()
    offset = torch.tensor(OFFSET).double().repeat(WORLDS, 1)
    body = combine_frame_transforms(*seen_from(roots, bodies[:, 2]), offset)
    found = launched(kernels.body_pose, [roots, bodies, 2, OFFSET], 9)
    torch.testing.assert_close(found, nine_numbers(*body), atol=2e-6, rtol=0)

    other = seen_from(roots, others)
    found = launched(kernels.root_pose, [roots, others], 9)
    torch.testing.assert_close(found, nine_numbers(*other), atol=2e-6, rtol=0)

    axis = matrix_from_quat(other[1])[:, :, 2].float()
    torch.testing.assert_close(launched(kernels.root_axis, [roots, others], 3), axis, atol=2e-6, rtol=0)

    velocities = torch.randn(2, WORLDS, 3, generator=torch.Generator().manual_seed(7))
    to_root = matrix_from_quat(roots[:, 3:].double()).mT
    turned = [(to_root @ velocity.double()[:, :, None])[:, :, 0] for velocity in velocities]
    found = launched(kernels.root_velocity, [roots, *velocities], 6)
    torch.testing.assert_close(found, torch.cat(turned, dim=1).float(), atol=4e-6, rtol=0)

    position = subtract_frame_transforms(body[0], body[1], other[0])[0]
    found = launched(kernels.position_in_body_frame, [bodies, 2, OFFSET, others], 3)
    torch.testing.assert_close(found, position.float(), atol=2e-6, rtol=0)


def test_damped_least_squares():
    """Also where the joints move the point in four directions only, so that the damping alone makes it solvable."""
    generator = torch.Generator().manual_seed(0)
    roots, joint_pos = random_poses(WORLDS), torch.randn(WORLDS, 9, generator=generator)
    columns = torch.randn(WORLDS, JOINTS, 6, generator=generator)
    columns[: WORLDS // 2, 4:] = columns[: WORLDS // 2, :3]
    error, damping = 0.1 * torch.randn(WORLDS, 6, generator=generator), 0.05
    joints = torch.tensor([8, 0, 2, 3, 1, 5, 4])
    inputs = [roots, wp.from_torch(columns, dtype=wp.spatial_vectorf), error, damping, joint_pos, joints.int()]
    found = launched(kernels.damped_least_squares, inputs, JOINTS)

    to_world = matrix_from_quat(roots[:, 3:].double())
    error_w = torch.cat([(to_world @ part[:, :, None].double())[:, :, 0] for part in error.split(3, dim=1)], dim=1)
    jacobian = columns.double().mT
    normal = jacobian @ jacobian.mT + damping**2 * torch.eye(6, dtype=torch.double)
    change = (jacobian.mT @ torch.linalg.solve(normal, error_w)[:, :, None])[:, :, 0]
    assert torch.linalg.cond(normal[: WORLDS // 2]).min() > 1e3
    torch.testing.assert_close(found, joint_pos[:, joints] + change.float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("fault", [torch.nan, torch.inf, -torch.inf, 100.0])
def test_marks_what_has_diverged(fault):
    """Each number by itself; 100 m/s and rad/s are too fast, but a place 100 m away is none to worry about."""
    poses, joint_pos, joint_vel = random_poses(WORLDS), torch.zeros(WORLDS, 9), torch.full((WORLDS, 9), 99.9)
    velocities, expected = torch.full((WORLDS, 3), -99.9), torch.zeros(2, WORLDS, dtype=torch.bool)
    for column in range(7):
        poses[column, column] = fault
    for column in range(9):
        joint_pos[7 + column, column] = joint_vel[16 + column, column] = fault
    for column in range(3):
        velocities[25 + column, column] = fault
    too_far = not torch.isfinite(torch.tensor(fault))
    expected[:, :7] = expected[0, 7:16] = too_far
    expected[0, 16:25] = expected[1, 25:28] = True
    found = torch.zeros_like(expected)
    for kernel, state, out in (
        (kernels.mark_diverged_articulation, [joint_pos, joint_vel], found[0]),
        (kernels.mark_diverged_object, [velocities], found[1]),
    ):
        wp.launch(kernel, WORLDS, inputs=[poses, *state, 100.0], outputs=[out], device="cpu")
    assert torch.equal(found, expected)
