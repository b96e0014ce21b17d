# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Warp kernels of the terms, one thread per world.

Two dozen operations on small tensors take PyTorch most of a millisecond on a CPU, nearly all of it around the
operations; as one kernel they take some ten microseconds. Quaternions are (x, y, z, w).
"""

# Warp translates the kernels by types of its own, which Python's checkers cannot follow.
# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportInvalidTypeForm=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def _write_pose(
    frame: wp.transformf, pose: wp.transformf, offset: wp.vec3f, world: int, out: wp.array2d(dtype=float)
) -> None:
    """Write a pose, moved by an offset in its own axes, as seen from a frame: position and 6D rotation."""
    relative = wp.transform_multiply(wp.transform_inverse(frame), pose)
    position = wp.transform_point(relative, offset)
    rotation = wp.quat_to_matrix(wp.transform_get_rotation(relative))
    for row in range(3):
        out[world, row] = position[row]
        out[world, 3 + row] = rotation[row, 0]
        out[world, 6 + row] = rotation[row, 1]


@wp.kernel
def body_pose(
    root_pose: wp.array(dtype=wp.transformf),
    body_pose: wp.array2d(dtype=wp.transformf),
    body: int,
    offset: wp.vec3f,
    out: wp.array2d(dtype=float),
) -> None:
    """Pose of a point fixed to a body in the root's frame."""
    world = wp.tid()
    _write_pose(root_pose[world], body_pose[world, body], offset, world, out)


@wp.kernel
def root_pose(
    root_pose: wp.array(dtype=wp.transformf), other_pose: wp.array(dtype=wp.transformf), out: wp.array2d(dtype=float)
) -> None:
    """Pose of another root in the root's frame."""
    world = wp.tid()
    _write_pose(root_pose[world], other_pose[world], wp.vec3f(), world, out)


@wp.kernel
def point_position(
    root_pose: wp.array(dtype=wp.transformf),
    body_pose: wp.array2d(dtype=wp.transformf),
    body: int,
    offset: wp.vec3f,
    out: wp.array(dtype=wp.vec3f),
) -> None:
    """Position of a point fixed to a body in the root's frame."""
    world = wp.tid()
    point = wp.transform_point(body_pose[world, body], offset)
    out[world] = wp.transform_point(wp.transform_inverse(root_pose[world]), point)


@wp.kernel
def root_axis(
    root_pose: wp.array(dtype=wp.transformf), other_pose: wp.array(dtype=wp.transformf), out: wp.array(dtype=wp.vec3f)
) -> None:
    """Direction of another root's z axis in the root's frame."""
    world = wp.tid()
    axis = wp.quat_rotate(wp.transform_get_rotation(other_pose[world]), wp.vec3f(0.0, 0.0, 1.0))
    out[world] = wp.quat_rotate_inv(wp.transform_get_rotation(root_pose[world]), axis)


@wp.kernel
def root_velocity(
    root_pose: wp.array(dtype=wp.transformf),
    linear: wp.array(dtype=wp.vec3f),
    angular: wp.array(dtype=wp.vec3f),
    out: wp.array2d(dtype=float),
) -> None:
    """Velocities along the root's axes."""
    world = wp.tid()
    rotation = wp.transform_get_rotation(root_pose[world])
    v, w = wp.quat_rotate_inv(rotation, linear[world]), wp.quat_rotate_inv(rotation, angular[world])
    for row in range(3):
        out[world, row] = v[row]
        out[world, 3 + row] = w[row]


@wp.kernel
def root_position(
    root_pose: wp.array(dtype=wp.transformf), other_pose: wp.array(dtype=wp.transformf), out: wp.array(dtype=wp.vec3f)
) -> None:
    """Position of another root in the root's frame."""
    world = wp.tid()
    position = wp.transform_get_translation(other_pose[world])
    out[world] = wp.transform_point(wp.transform_inverse(root_pose[world]), position)


@wp.kernel
def position_in_body_frame(
    body_pose: wp.array2d(dtype=wp.transformf),
    body: int,
    offset: wp.vec3f,
    other_pose: wp.array(dtype=wp.transformf),
    out: wp.array(dtype=wp.vec3f),
) -> None:
    """Position of another root, seen from a point fixed to a body and in the body's axes."""
    world = wp.tid()
    position = wp.transform_get_translation(other_pose[world])
    out[world] = wp.transform_point(wp.transform_inverse(body_pose[world, body]), position) - offset


@wp.func
def _spatial(linear: wp.vec3f, angular: wp.vec3f) -> wp.spatial_vectorf:
    return wp.spatial_vectorf(linear[0], linear[1], linear[2], angular[0], angular[1], angular[2])


@wp.kernel
def chain_jacobian(
    link_pose: wp.array2d(dtype=wp.transformf),
    body: int,
    offset: wp.vec3f,
    carried: wp.array(dtype=int),
    axis: wp.array(dtype=wp.vec3f),
    arm: wp.array(dtype=wp.vec3f),
    turns: wp.array(dtype=bool),
    out: wp.array2d(dtype=wp.spatial_vectorf),
) -> None:
    """Columns of the Jacobian of a point fixed to a body, in world axes; see :class:`ChainJacobian`."""
    world, joint = wp.tid()
    link = link_pose[world, carried[joint]]
    direction = wp.transform_vector(link, axis[joint])
    if turns[joint]:
        point = wp.transform_point(link_pose[world, body], offset)
        anchor = wp.transform_get_translation(link) - wp.transform_vector(link, arm[joint])
        out[world, joint] = _spatial(wp.cross(direction, point - anchor), direction)
    else:
        out[world, joint] = _spatial(direction, wp.vec3f())


@wp.kernel
def damped_least_squares(
    root_pose: wp.array(dtype=wp.transformf),
    jacobian: wp.array2d(dtype=wp.spatial_vectorf),
    error: wp.array(dtype=wp.spatial_vectorf),
    damping: float,
    joint_pos: wp.array2d(dtype=float),
    joints: wp.array(dtype=int),
    out: wp.array2d(dtype=float),
) -> None:
    """Joint positions that take off an error, ``q + J^T (J J^T + damping^2)^-1 e``.

    The Jacobian is in world axes and the error in the root's, linear before angular.
    """
    world = wp.tid()
    num_joints = jacobian.shape[1]
    a = damping * damping * wp.identity(n=6, dtype=float)
    for joint in range(num_joints):
        a += wp.outer(jacobian[world, joint], jacobian[world, joint])
    # Cholesky's factor in place, in the lower triangle, and then the two triangular systems.
    for j in range(6):
        for k in range(j):
            a[j, j] -= a[j, k] * a[j, k]
        a[j, j] = wp.sqrt(a[j, j])
        for i in range(j + 1, 6):
            for k in range(j):
                a[i, j] -= a[i, k] * a[j, k]
            a[i, j] /= a[j, j]
    linear = wp.transform_vector(root_pose[world], wp.spatial_top(error[world]))
    x = _spatial(linear, wp.transform_vector(root_pose[world], wp.spatial_bottom(error[world])))
    for i in range(6):
        for k in range(i):
            x[i] -= a[i, k] * x[k]
        x[i] /= a[i, i]
    for n in range(6):
        i = 5 - n
        for k in range(i + 1, 6):
            x[i] -= a[k, i] * x[k]
        x[i] /= a[i, i]
    for joint in range(num_joints):
        out[world, joint] = joint_pos[world, joints[joint]] + wp.dot(jacobian[world, joint], x)


@wp.func
def _is_finite(pose: wp.transformf) -> bool:
    return wp.isfinite(wp.transform_get_translation(pose)) and wp.isfinite(wp.transform_get_rotation(pose))


@wp.kernel
def mark_diverged_articulation(
    root_pose: wp.array(dtype=wp.transformf),
    joint_pos: wp.array2d(dtype=float),
    joint_vel: wp.array2d(dtype=float),
    max_speed: float,
    diverged: wp.array(dtype=bool),
) -> None:
    """Mark worlds in which the articulation's state is not finite or a joint too fast; NaN compares false."""
    world = wp.tid()
    healthy = _is_finite(root_pose[world])
    for joint in range(joint_pos.shape[1]):
        healthy = healthy and wp.isfinite(joint_pos[world, joint]) and wp.abs(joint_vel[world, joint]) < max_speed
    if not healthy:
        diverged[world] = True


@wp.kernel
def mark_diverged_object(
    root_pose: wp.array(dtype=wp.transformf),
    root_lin_vel: wp.array(dtype=wp.vec3f),
    max_speed: float,
    diverged: wp.array(dtype=bool),
) -> None:
    """Mark worlds in which the object's state is not finite or the object too fast; NaN compares false."""
    world = wp.tid()
    healthy = _is_finite(root_pose[world])
    for axis in range(3):
        healthy = healthy and wp.abs(root_lin_vel[world][axis]) < max_speed
    if not healthy:
        diverged[world] = True
