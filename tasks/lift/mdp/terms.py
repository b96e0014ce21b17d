# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Reward and termination terms of the lift family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isaaclab.managers import SceneEntityCfg

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


def object_lifted(
    env: ManagerBasedRLEnv, minimal_height: float, object_cfg: SceneEntityCfg = SceneEntityCfg("object")
) -> torch.Tensor:
    """Whether the object's centre is above a height over the table.

    Args:
        env: The environment.
        minimal_height: Height of the object's centre above the environment's origin [m].
        object_cfg: The object.

    Returns:
        Boolean tensor, shape (num_envs,).
    """
    height = env.scene[object_cfg.name].data.root_pos_w.torch[:, 2] - env.scene.env_origins[:, 2]
    return height > minimal_height
