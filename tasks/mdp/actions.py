# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Action terms shared by all task families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction
from isaaclab.utils.math import matrix_from_quat, quat_apply, quat_apply_inverse, quat_inv

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
        self._jacobian = ChainJacobian(self._asset, self._jacobi_joint_ids)  # type: ignore[arg-type]

    def process_actions(self, actions: torch.Tensor) -> None:
        """Solve for the joint targets.

        Args:
            actions: Pose change relative to the current pose, scaled to [-1, 1], shape (num_envs, 6): translation, then
                rotation vector, both in the robot's root frame.
        """
        super().process_actions(actions.clamp(-self.cfg.clip_raw, self.cfg.clip_raw))
        ee_pos, ee_quat = self._compute_frame_pose()
        joint_pos = self._asset.data.joint_pos.torch[:, self._joint_ids]  # type: ignore[index]
        self._joint_pos_target[:] = self._ik_controller.compute(
            ee_pos, ee_quat, self._compute_frame_jacobian(), joint_pos
        )

    def _compute_frame_jacobian(self) -> torch.Tensor:
        """Return the Jacobian of the controlled frame in the root frame, shape (num_envs, 6, joints)."""
        data = self._asset.data
        position = data.body_pos_w.torch[:, self._body_idx]
        if self.cfg.body_offset is not None:
            position = position + quat_apply(data.body_quat_w.torch[:, self._body_idx], self._offset_pos)
        jacobian = self._jacobian.at(position)
        to_root = matrix_from_quat(quat_inv(data.root_quat_w.torch))
        return torch.cat([torch.bmm(to_root, jacobian[:, :3]), torch.bmm(to_root, jacobian[:, 3:])], dim=1)

    def apply_actions(self) -> None:
        """Send the joint targets of this control step."""
        self._asset.actuators.target_command.set_position_index(
            value=self._joint_pos_target,
            joint_ids=self._joint_ids,  # type: ignore[arg-type]
        )


class ChainJacobian:
    """Geometric Jacobian of a point that all of some joints move, from the poses of the bodies alone.

    The physics engines compute the Jacobians of all bodies with respect to all joints, on a CPU several times slower
    than this. A joint's axis never moves in the body that the joint carries, so the engine is asked once where it is.

    Args:
        asset: The robot, with its bodies where its joints put them.
        joint_columns: The joints, as columns of the engine's Jacobians.
    """

    def __init__(self, asset: Articulation, joint_columns: Sequence[int]) -> None:
        self._data = asset.data
        jacobians = self._data.body_link_jacobian_w.torch[0]  # (bodies, 6, joints), without the root if that is fixed
        moves = jacobians.abs().amax(dim=1) > 1e-5
        # Of the bodies that a joint moves, the one that the fewest joints move is carried by the joint itself.
        crowd = torch.where(moves, moves.sum(dim=1, keepdim=True), moves.shape[1] + 1)
        carried = crowd.argmin(dim=0)[list(joint_columns)]
        columns = jacobians[carried, :, list(joint_columns)]
        self._bodies = carried + asset.num_bodies - len(jacobians)

        linear, angular = columns[:, :3], columns[:, 3:]
        turns = angular.norm(dim=1, keepdim=True) > 0.5
        orientation = self._data.body_quat_w.torch[0, self._bodies]
        self._turns = turns
        self._axis = quat_apply_inverse(orientation, torch.where(turns, angular, linear))
        # From the axis to the body's origin: v = w x r, and so r = v x w, as w has unit length and r is normal to it.
        self._arm = quat_apply_inverse(orientation, torch.where(turns, torch.linalg.cross(linear, angular), 0.0))

    def at(self, position: torch.Tensor) -> torch.Tensor:
        """Return the Jacobian of a point, linear rows first, in world axes.

        Args:
            position: The point in the world [m], shape (num_envs, 3).

        Returns:
            Shape (num_envs, 6, joints).
        """
        pose = self._data.body_link_pose_w.torch[:, self._bodies]
        shape = (*pose.shape[:2], 3)
        axis = quat_apply(pose[..., 3:], self._axis.expand(shape))
        anchor = pose[..., :3] - quat_apply(pose[..., 3:], self._arm.expand(shape))
        linear = torch.where(self._turns, torch.linalg.cross(axis, position[:, None] - anchor), axis)
        angular = torch.where(self._turns, axis, 0.0)
        return torch.cat([linear, angular], dim=2).transpose(1, 2)
