# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What images are drawn from, as observation terms, and what is drawn for it at a reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from isaaclab.managers import EventTermCfg, ObservationGroupCfg, ObservationTermCfg
from isaaclab.utils import configclass

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv

_BODIES: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()


def body_poses(env: ManagerBasedEnv) -> Tensor:
    """Poses of all bodies of each world, shape (num_envs, B, 7): position [m] and quaternion (x, y, z, w)."""
    import warp as wp

    from isaaclab_newton.physics import NewtonManager

    from zprl.sim.isaaclab.primitives import world_bodies

    if env not in _BODIES:
        _BODIES[env] = torch.as_tensor(world_bodies(NewtonManager.get_model())).to(env.device)
    NewtonManager.forward()  # does nothing unless something was moved since the last step
    poses = NewtonManager.get_state_0().body_q
    assert poses is not None
    return wp.to_torch(poses)[_BODIES[env]]


def appearance(env: ManagerBasedEnv) -> Tensor:
    """What was drawn for the look of the running episode, numbers in [-1, 1], shape (num_envs, K)."""
    from zprl.sim.isaaclab.cameras.scene_cameras import cameras_of

    cameras = cameras_of(env)
    assert cameras is not None
    return cameras.drawn.clone()


def draw_appearance(env: ManagerBasedEnv, env_ids: Tensor | slice) -> None:
    """Draw anew how the episodes look that begin in the worlds ``env_ids``; see :class:`AppearanceCfg`."""
    from zprl.sim.isaaclab.cameras.scene_cameras import cameras_of

    cameras = cameras_of(env)
    assert cameras is not None
    if cameras.drawn.shape[1]:
        rows = cameras.drawn[env_ids]
        cameras.drawn[env_ids] = 2.0 * torch.rand_like(rows) - 1.0


@configclass
class SceneObservationsCfg(ObservationGroupCfg):
    """What images are drawn from; see :class:`zprl.sim.isaaclab.cameras.scene_cameras.SceneCameras`."""

    concatenate_terms = False
    enable_corruption = False
    body_poses = ObservationTermCfg(func=body_poses)
    appearance = ObservationTermCfg(func=appearance)


def drawn_appearance() -> EventTermCfg:
    """Return the event term that draws how an episode looks."""
    return EventTermCfg(func=draw_appearance, mode="reset")
