# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Action terms shared by all task families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction
from isaaclab.utils.math import matrix_from_quat, quat_apply_inverse, quat_inv

from . import kernels

if TYPE_CHECKING:
    from isaaclab.assets import Articulation
    from isaaclab.envs import ManagerBasedEnv

    from .actions_cfg import DeltaPoseIKActionCfg


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
        data = self._asset.data
        jacobian = self._jacobian.columns()
        inputs = [data.root_link_pose_w.warp, jacobian, self._processed_actions, self._damping]
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
