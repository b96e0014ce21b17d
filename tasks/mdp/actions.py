# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Action terms shared by all task families."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction
from isaaclab.utils.math import matrix_from_quat, quat_apply, quat_inv

from .jacobian import ChainJacobian

if TYPE_CHECKING:
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
