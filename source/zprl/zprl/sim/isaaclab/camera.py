# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Pictures of an Isaac Lab scene without a display: a camera sensor with Newton's ray tracer.

.. code-block:: python

    add_video_camera(env_cfg)  # before the environment is made; one environment is enough
    env = make_env(task, env_cfg)
    frame = capture(env)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg

Position = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

CAMERA_NAME = "video_camera"
"""Scene entity that :func:`add_video_camera` adds."""


@dataclass(frozen=True)
class View:
    """How the camera sees; where it is and looks, the task says as for any viewer: ``sim.default_visualizer_cfg``.

    Attributes:
        width: Width of the pictures [px].
        height: Height of the pictures [px].
        field_of_view: Horizontal angle [deg].
        supersampling: Rays per pixel along each axis; 2 smooths the edges and takes 4 times as long as 1.
    """

    width: int = 480
    height: int = 360
    field_of_view: float = 40.0
    supersampling: int = 2


def viewpoint(env_cfg: ManagerBasedRLEnvCfg) -> tuple[Position, Quaternion]:
    """Return the camera's position [m] and quaternion (x, y, z, w) in a world; it looks along -z, with +y up."""
    from isaaclab.utils.math import create_rotation_matrix_from_view, quat_from_matrix
    from isaaclab.visualizers import VisualizerCfg

    viewer = env_cfg.sim.default_visualizer_cfg or VisualizerCfg()
    eye, lookat = (torch.tensor([point], dtype=torch.float32) for point in (viewer.eye, viewer.lookat))
    rotation = create_rotation_matrix_from_view(eye, lookat, up_axis="Z")
    x, y, z, w = quat_from_matrix(rotation)[0].tolist()
    return viewer.eye, (x, y, z, w)


def add_video_camera(env_cfg: ManagerBasedRLEnvCfg, view: View = View()) -> None:
    """Add a camera to the scene of a configuration from which no environment was made yet."""
    import isaaclab.sim as sim_utils
    from isaaclab.sensors import CameraCfg
    from isaaclab_newton.renderers import NewtonWarpRendererCfg

    position, quaternion = viewpoint(env_cfg)
    focal_length, aperture = 24.0, 2 * 24.0 * float(np.tan(np.deg2rad(view.field_of_view) / 2))
    camera = CameraCfg(
        prim_path="{ENV_REGEX_NS}/VideoCamera",
        offset=CameraCfg.OffsetCfg(pos=position, rot=quaternion, convention="opengl"),
        spawn=sim_utils.PinholeCameraCfg(focal_length=focal_length, horizontal_aperture=aperture),
        width=view.width * view.supersampling,
        height=view.height * view.supersampling,
        data_types=["rgb"],
        background_color=(0.93, 0.94, 0.95),
        renderer_cfg=NewtonWarpRendererCfg(enable_shadows=True),
    )
    setattr(env_cfg.scene, CAMERA_NAME, camera)


def capture(env: ManagerBasedRLEnv, view: View = View()) -> np.ndarray:
    """Take a picture of the first environment.

    Args:
        env: Environment whose configuration :func:`add_video_camera` changed.
        view: The same view as there.

    Returns:
        The picture, shape (view.height, view.width, 3), dtype uint8.
    """
    pixels = env.scene[CAMERA_NAME].data.output["rgb"].torch[0].cpu().numpy()
    return np.asarray(Image.fromarray(pixels).resize((view.width, view.height), Image.Resampling.BOX))
