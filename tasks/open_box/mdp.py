# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What counts as an open box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from isaaclab.managers import SceneEntityCfg

from zprl.tasks import mdp

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


class LidHeldOpen(mdp.HeldTerm):
    """Whether a box has been open for a while, its lid and itself at rest, upright and near where it was at first."""

    def __init__(self, cfg: Any, env: ManagerBasedRLEnv) -> None:
        super().__init__(cfg, env)
        self._start = torch.zeros(env.num_envs, 3, device=env.device)
        self._fresh = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)

    def reset(self, env_ids: Sequence[int] | torch.Tensor | slice | None = None) -> None:  # type: ignore[override]
        """See :class:`isaaclab.managers.ManagerTermBase`."""
        super().reset(env_ids)
        # Where the box stands is read after the first control step, whichever comes first, this or the box's own reset.
        self._fresh[slice(None) if env_ids is None else env_ids] = True

    def __call__(
        self,
        env: ManagerBasedRLEnv,
        seconds: float,
        angle: float,
        max_turn: float,
        max_speed: float,
        max_shift: float,
        max_tilt: float,
        lid_cfg: SceneEntityCfg,
    ) -> torch.Tensor:
        """Return where it has.

        Args:
            env: The environment.
            seconds: How long [s].
            angle: Angle beyond which the lid is open [rad].
            max_turn: Largest speed of the lid on its hinge [rad/s].
            max_speed: Largest speed of the box [m/s].
            max_shift: Largest distance of the box from where it stood after the episode's first control step [m].
            max_tilt: Largest angle between the box's z axis and the vertical [rad].
            lid_cfg: The box and the hinge of its lid.

        Returns:
            Boolean tensor, shape (num_envs,).
        """
        box = env.scene[lid_cfg.name].data
        place = box.root_pos_w.torch
        # In place: whatever is made in inference mode could not be changed outside of it.
        self._start.copy_(torch.where(self._fresh[:, None], place, self._start))
        self._fresh.fill_(False)
        still = box.joint_vel.torch[:, lid_cfg.joint_ids].squeeze(1).abs() < max_turn
        still &= box.root_lin_vel_w.torch.norm(dim=1) < max_speed
        x, y = box.root_quat_w.torch[:, :2].unbind(dim=1)
        upright = 1.0 - 2.0 * (x * x + y * y) > math.cos(max_tilt)
        there = (place - self._start).norm(dim=1) < max_shift
        return self.held((mdp.joint_position(env, lid_cfg) > angle) & still & upright & there, seconds)
