# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Action terms shared by all task families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction
from isaaclab.utils.math import (
    axis_angle_from_quat,
    matrix_from_quat,
    quat_apply_inverse,
    quat_from_angle_axis,
    quat_inv,
    quat_mul,
)

from zprl.utils.errors import ZprlError

from . import kernels

if TYPE_CHECKING:
    from isaaclab.assets import Articulation
    from isaaclab.envs import ManagerBasedEnv

    from .actions_cfg import DeltaPoseIKActionCfg, TargetPoseIKActionCfg


class DeltaPoseIKAction(DifferentialInverseKinematicsAction):
    """Differential inverse kinematics whose joint targets are computed once per control step.

    Isaac Lab's term solves the kinematics anew on every physics substep, which costs more than everything but the
    physics itself. Here the joint targets follow from the state at the time the action arrives and are held until the
    next one, as a real robot's position interface holds them, so the command does not depend on the substep count.
    """

    cfg: DeltaPoseIKActionCfg

    def __init__(self, cfg: DeltaPoseIKActionCfg, env: ManagerBasedEnv) -> None:
        super().__init__(cfg, env)
        self._joint_pos_target = torch.zeros(self.num_envs, self._num_joints, device=self.device)
        joints = torch.arange(self._asset.num_joints, dtype=torch.int32, device=self.device)
        self._joints = wp.from_torch(joints[self._joint_ids])  # type: ignore[index]
        offset = cfg.body_offset.pos if cfg.body_offset is not None else (0.0, 0.0, 0.0)
        self._jacobian = ChainJacobian(self._asset, self._jacobi_joint_ids, self._body_idx, offset)  # type: ignore[arg-type]
        self._damping = _plain_damping(cfg)

    def process_actions(self, actions: torch.Tensor) -> None:
        """Solve for the joint targets.

        Args:
            actions: Pose change relative to the current pose, scaled to [-1, 1], shape (num_envs, 6): translation, then
                rotation vector, both in the robot's root frame.
        """
        actions = actions.clamp(-self.cfg.clip_raw, self.cfg.clip_raw)
        if self._damping is None:
            super().process_actions(actions)
            self._joint_pos_target[:] = self._controlled()
            return
        # A change of the pose is its own error, so the pose itself is not needed.
        self._raw_actions[:] = actions
        torch.addcmul(self._offset, actions, self._scale, out=self._processed_actions)
        self._solve(self._processed_actions, self._damping)

    def reference_pose(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pose that the next action changes, in the root frame.

        Returns:
            Position [m], shape (num_envs, 3), and quaternion (x, y, z, w), shape (num_envs, 4).
        """
        return self._compute_frame_pose()

    def _solve(self, error: torch.Tensor, damping: float) -> None:
        """Set the joint targets that take off an error of the pose, shape (num_envs, 6), in the root frame."""
        data = self._asset.data
        inputs = [data.root_link_pose_w.warp, self._jacobian.columns(), error, damping]
        wp.launch(
            kernels.damped_least_squares,
            self.num_envs,
            inputs=[*inputs, data.joint_pos.warp, self._joints],
            outputs=[self._joint_pos_target],
            device=self.device,
        )

    def _controlled(self) -> torch.Tensor:
        """Return the joint targets of Isaac Lab's controller, whichever method it is configured for."""
        ee_pos, ee_quat = self._compute_frame_pose()
        joint_pos = self._asset.data.joint_pos.torch[:, self._joint_ids]  # type: ignore[index]
        return self._ik_controller.compute(ee_pos, ee_quat, self._compute_frame_jacobian(), joint_pos)

    def _compute_frame_jacobian(self) -> torch.Tensor:
        """Return the Jacobian of the controlled frame in the root frame, shape (num_envs, 6, joints)."""
        jacobian = wp.to_torch(self._jacobian.columns()).transpose(1, 2)
        to_root = matrix_from_quat(quat_inv(self._asset.data.root_quat_w.torch))
        return torch.cat([torch.bmm(to_root, jacobian[:, :3]), torch.bmm(to_root, jacobian[:, 3:])], dim=1)

    def apply_actions(self) -> None:
        """Send the joint targets of this control step."""
        self._asset.actuators.target_command.set_position_index(value=self._joint_pos_target, joint_ids=self._joints)


class TargetPoseIKAction(DeltaPoseIKAction):
    """Pose changes of a target, and differential inverse kinematics towards it.

    Where :class:`DeltaPoseIKAction` adds an action to the pose that has been reached, this adds it to the previous
    target, whatever has been reached of that: an action of zeros holds the target, lag and contact do not shift what
    follows, and actions that are sent at a low rate add up to the motion that was meant. The first action after a
    reset changes the pose that the end effector has then. A target that is farther ahead of the end effector than
    ``max_lead`` is brought back to that distance, and stays there for the next action, so that the arm does not strive
    ever harder against what is in the way.
    """

    cfg: TargetPoseIKActionCfg

    def __init__(self, cfg: TargetPoseIKActionCfg, env: ManagerBasedEnv) -> None:
        super().__init__(cfg, env)
        if self._damping is None:
            raise ZprlError(
                "an action term that moves a target solves by plain damped least squares; configure its controller with"
                " command_type='pose', use_relative_mode=True and ik_method='dls', without clip and extras."
            )
        self._target_pos = torch.zeros(self.num_envs, 3, device=self.device)
        self._target_quat = torch.zeros(self.num_envs, 4, device=self.device)
        self._error = torch.zeros(self.num_envs, 6, device=self.device)
        self._fresh = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)

    def reset(self, env_ids: Sequence[int] | None = None) -> None:
        """Forget the targets of some environments; the pose may be set after this, and is read with the next action."""
        super().reset(env_ids)
        self._fresh[slice(None) if env_ids is None else env_ids] = True

    def reference_pose(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See :meth:`DeltaPoseIKAction.reference_pose`: the target, or what has been reached if there is none yet."""
        pos, quat = self._compute_frame_pose()
        fresh = self._fresh[:, None]
        return torch.where(fresh, pos, self._target_pos), torch.where(fresh, quat, self._target_quat)

    def process_actions(self, actions: torch.Tensor) -> None:
        """Move the targets and solve for the joint targets.

        Args:
            actions: Pose change relative to the previous target, scaled to [-1, 1], shape (num_envs, 6): translation,
                then rotation vector, both in the robot's root frame.
        """
        self._raw_actions[:] = actions.clamp(-self.cfg.clip_raw, self.cfg.clip_raw)
        torch.addcmul(self._offset, self._raw_actions, self._scale, out=self._processed_actions)
        translation, rotation = self._processed_actions.split(3, dim=1)
        pos, quat = self._compute_frame_pose()
        old_pos, old_quat = self.reference_pose()
        distance, angle = self.cfg.max_lead
        ahead = _shortened(old_pos + translation - pos, distance)
        turned = quat_mul(quat_mul(_rotation(rotation), old_quat), quat_inv(quat))
        turn = _shortened(axis_angle_from_quat(turned), angle)
        # In place: whatever is made in inference mode could not be reset outside of it.
        self._target_pos.copy_(pos + ahead)
        self._target_quat.copy_(quat_mul(_rotation(turn), quat))
        self._fresh.fill_(False)
        self._error[:, :3], self._error[:, 3:] = ahead, turn
        assert self._damping is not None
        self._solve(self._error, self._damping)


def _shortened(vectors: torch.Tensor, length: float) -> torch.Tensor:
    """Return vectors (n, 3), those that are longer than a length brought to it."""
    size = vectors.norm(dim=1, keepdim=True)
    return vectors * (length / size.clamp(min=1e-9)).clamp(max=1.0)


def _rotation(vectors: torch.Tensor) -> torch.Tensor:
    """Return rotation vectors (n, 3) [rad] as quaternions (x, y, z, w)."""
    return quat_from_angle_axis(vectors.norm(dim=1), vectors)


def _plain_damping(cfg: DeltaPoseIKActionCfg) -> float | None:
    """Return the damping if the method is damped least squares and nothing else, None for what takes a controller."""
    controller: Any = cfg.controller
    if (controller.command_type, controller.use_relative_mode, controller.ik_method) != ("pose", True, "dls"):
        return None
    extras = controller.orientation_weight is not None or controller.joint_limit_avoidance_gain or cfg.clip is not None
    return None if extras else controller.ik_params["lambda_val"]


class ChainJacobian:
    """Geometric Jacobian of a point of a body that all of some joints move, from the poses of the bodies alone.

    The physics engines compute the Jacobians of all bodies with respect to all joints, on a CPU several times slower
    than this. A joint's axis never moves in the body that the joint carries, so the engine is asked once where it is.

    Args:
        asset: The robot, with its bodies where its joints put them.
        joint_columns: The joints, as columns of the engine's Jacobians.
        body: The body that the point is fixed to.
        offset: The point in the body's frame [m].
    """

    def __init__(
        self, asset: Articulation, joint_columns: Sequence[int], body: int, offset: tuple[float, float, float]
    ) -> None:
        self._data = asset.data
        self._point = [body, offset]
        jacobians = self._data.body_link_jacobian_w.torch[0]  # (bodies, 6, joints), without the root if that is fixed
        moves = jacobians.abs().amax(dim=1) > 1e-5
        # Of the bodies that a joint moves, the one that the fewest joints move is carried by the joint itself.
        crowd = torch.where(moves, moves.sum(dim=1, keepdim=True), moves.shape[1] + 1)
        carried = crowd.argmin(dim=0)[list(joint_columns)]
        columns = jacobians[carried, :, list(joint_columns)]
        bodies = carried + asset.num_bodies - len(jacobians)

        linear, angular = columns[:, :3], columns[:, 3:]
        turns = angular.norm(dim=1, keepdim=True) > 0.5
        orientation = self._data.body_quat_w.torch[0, bodies]
        axis = quat_apply_inverse(orientation, torch.where(turns, angular, linear))
        # From the axis to the body's origin: v = w x r, and so r = v x w, as w has unit length and r is normal to it.
        arm = quat_apply_inverse(orientation, torch.where(turns, torch.linalg.cross(linear, angular), 0.0))
        vectors = [wp.from_torch(vector.contiguous(), dtype=wp.vec3f) for vector in (axis, arm)]
        self._joints = [wp.from_torch(bodies.int()), *vectors, wp.from_torch(turns[:, 0].contiguous())]
        shape = (asset.num_instances, len(bodies))
        self._columns = wp.zeros(shape, dtype=wp.spatial_vectorf, device=asset.device)

    def columns(self) -> wp.array:
        """Return the Jacobian's columns, linear elements first, in world axes.

        Returns:
            Spatial vectors, shape (num_envs, joints), which the next call overwrites.
        """
        wp.launch(
            kernels.chain_jacobian,
            self._columns.shape,
            inputs=[self._data.body_link_pose_w.warp, *self._point, *self._joints],
            outputs=[self._columns],
            device=self._columns.device,
        )
        return self._columns
