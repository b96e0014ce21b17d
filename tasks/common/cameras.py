# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Observation of camera images."""

from __future__ import annotations

from collections.abc import Iterable

from isaaclab.managers import ObservationGroupCfg, ObservationTermCfg, SceneEntityCfg

from zprl.tasks import mdp


def camera_group(cameras: Iterable[str]) -> ObservationGroupCfg:
    """Return an observation group with the colour image of each camera, uint8 of shape (num_envs, height, width, 3).

    Its terms stay apart, since images of different cameras make up no vector.

    Args:
        cameras: The cameras by their names in the scene, which the terms get too.
    """
    group = ObservationGroupCfg(concatenate_terms=False, enable_corruption=False)
    for name in cameras:
        params = {"sensor_cfg": SceneEntityCfg(name), "data_type": "rgb", "normalize": False}
        setattr(group, name, ObservationTermCfg(func=mdp.image_rgb, params=params))  # type: ignore[arg-type]
    return group
