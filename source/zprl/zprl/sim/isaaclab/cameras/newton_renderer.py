# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Newton's ray tracer with the settings of Isaac Lab's camera: on a GPU, and what the native one is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import warp as wp
from newton import Model, State
from newton.sensors import SensorTiledCamera
from numpy.typing import NDArray

from zprl.sim.render import PinholeCamera, RenderStyle

BACKGROUND = RenderStyle().background
"""Colour where nothing is, sRGB, 0 to 1: the native renderer's."""


class NewtonRenderer:
    """Draws all worlds of a model by one camera in each.

    Args:
        model: Newton's model.
        camera: Image and focal lengths; Newton knows no near clipping plane.
        shadows: Whether things cast shadows.
    """

    def __init__(self, model: Model, camera: PinholeCamera, shadows: bool = False) -> None:
        self.model, self.camera = model, camera
        config = SensorTiledCamera.RenderConfig(
            enable_textures=True,
            enable_shadows=shadows,
            enable_backface_culling=False,
            max_distance=camera.far,
            render_order=SensorTiledCamera.RenderOrder.TILED,
            tile_width=8,
            tile_height=8,
        )
        self._sensor = SensorTiledCamera(model, default_render_config=config)
        self._sensor.utils.create_default_light(enable_shadows=shadows)
        array: Any = wp.array  # its annotations fit no dtype
        self._rays = array(_rays(camera), dtype=wp.vec3f, device=model.device)
        shape = (model.world_count, 1, camera.height, camera.width)
        self._color: Any = wp.zeros(shape, dtype=wp.uint32, device=model.device)
        self._depth: Any = wp.zeros(shape, dtype=wp.float32, device=model.device)
        red, green, blue = (round(255 * channel) for channel in BACKGROUND)
        self._clear_data = SensorTiledCamera.ClearData(clear_color=0xFF000000 | blue << 16 | green << 8 | red)

    def draw(self, state: State, camera_poses: torch.Tensor, depth: bool = False) -> None:
        """Draw.

        Args:
            state: Newton's state, of which the poses of bodies count.
            camera_poses: Pose of each world's camera (N, 7), on the model's device.
            depth: Whether to draw depth as well, which takes a kernel of its own.
        """
        self.model.bvh_refit_shapes(state)
        poses: Any = wp.from_torch(camera_poses.contiguous()[None], dtype=wp.transformf)
        outputs: dict[str, Any] = {"color_image": self._color} | ({"forward_depth_image": self._depth} if depth else {})
        self._sensor.update(state, poses, self._rays, clear_data=self._clear_data, **outputs)

    @property
    def rgb(self) -> torch.Tensor:
        """Colours that were drawn last (N, height, width, 3), uint8: a view of what the next call overwrites."""
        packed = wp.to_torch(self._color.view(wp.int32))[:, 0]
        return packed[..., None].view(torch.uint8)[..., :3]

    @property
    def depth(self) -> torch.Tensor:
        """Depth that was drawn last [m] (N, height, width), 0 where nothing is; overwritten by the next call."""
        return wp.to_torch(self._depth)[:, 0]


def _rays(camera: PinholeCamera) -> NDArray[np.float32]:
    """Return origin and direction of each pixel's ray in the camera's frame, (1, height, width, 2, 3)."""
    u = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    v = (camera.cy - np.arange(camera.height) - 0.5) / camera.fy
    directions = np.stack([*np.meshgrid(u, v), -np.ones((camera.height, camera.width))], axis=-1)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.stack([np.zeros_like(directions), directions], axis=-2)[None].astype(np.float32)
