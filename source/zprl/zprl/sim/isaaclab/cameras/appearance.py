# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How differently a scene may look from one episode to the next: light, colours, cameras, and the images themselves.

What is drawn at a reset are numbers in [-1, 1], one row per world, which are part of the observation; what they mean
for an image is a function of them. An episode therefore looks the same however often it is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from isaaclab.utils import configclass

from zprl.sim.render import composed, turned

LIGHT = (-1.0, 1.0, -1.0)
"""Direction in which the light travels by default."""


@configclass
class AppearanceCfg:
    """Half widths of the ranges that the look of an episode is drawn from, uniformly; all 0: always the same."""

    light_angle: float = 0.0
    """Turn of the light's direction about each axis [deg]."""

    color: float = 0.0
    """Change of each channel of each primitive's colour, of 1."""

    camera_position: float = 0.0
    """Shift of a camera along each of its axes [m]."""

    camera_angle: float = 0.0
    """Turn of a camera about each of its axes [deg]."""

    brightness: float = 0.0
    """Change of all channels of an image, of 1."""

    contrast: float = 0.0
    """Change of an image's contrast, of 1."""

    shift: float = 0.0
    """Shift of an image along each axis, of its width and height; its border is continued."""

    blur: float = 0.0
    """Largest standard deviation of the Gaussian that an image is blurred with [px]."""

    def changes_nothing(self) -> bool:
        """Return whether every episode looks the same."""
        return not any(vars(self).values())


@dataclass(frozen=True)
class Appearance:
    """The looks of n worlds.

    Args:
        cfg: The ranges.
        draws: Numbers in [-1, 1], (n, :meth:`size`).
        num_primitives: Number of primitives P.
        num_cameras: Number of cameras C.
    """

    cfg: AppearanceCfg
    draws: Tensor
    num_primitives: int
    num_cameras: int

    @staticmethod
    def size(num_primitives: int, num_cameras: int) -> int:
        """Return how many numbers a world's look takes.

        They are 3 of the light, 3 of each primitive's colour, and of each camera 3 of its place, 3 of its turn, and one
        each of brightness, contrast, shift to the right, shift down and blur.
        """
        return 3 + 3 * num_primitives + 11 * num_cameras

    def _start(self, camera: int) -> int:
        """Return where the numbers of a camera begin."""
        return self.size(self.num_primitives, camera)

    def _part(self, start: int, count: int) -> NDArray[np.float32]:
        return self.draws[:, start : start + count].cpu().numpy()

    def lights(self) -> NDArray[np.float32]:
        """Return the directions in which light travels (n, 3)."""
        turns = turned(np.deg2rad(self.cfg.light_angle) * self._part(0, 3))
        frames = np.concatenate([np.zeros((len(turns), 3), dtype=np.float32), turns], axis=1)
        return composed(frames, np.array([*LIGHT, 0, 0, 0, 1], dtype=np.float32))[:, :3].copy()

    def colors(self, colors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the colours (n, P, 3) of primitives that have others by themselves, (P, 3) or (n, P, 3)."""
        change = self._part(3, 3 * self.num_primitives).reshape(-1, self.num_primitives, 3)
        return np.clip(colors + self.cfg.color * change, 0.0, 1.0).astype(np.float32)

    def camera_poses(self, poses: NDArray[np.float32], camera: int) -> NDArray[np.float32]:
        """Return the poses (n, 7) of a camera, by its number, that would stand elsewhere by itself."""
        draws = self._part(self._start(camera), 6)
        turns = turned(np.deg2rad(self.cfg.camera_angle) * draws[:, 3:])
        return composed(poses, np.concatenate([self.cfg.camera_position * draws[:, :3], turns], axis=1))

    def images(self, rgb: Tensor, camera: int) -> Tensor:
        """Return what a camera, by its number, makes of images (n, height, width, 3), uint8."""
        cfg = self.cfg
        if not (cfg.brightness or cfg.contrast or cfg.shift or cfg.blur):
            return rgb
        start = self._start(camera) + 6
        brightness, contrast, right, down, blur = self.draws[:, start : start + 5].to(rgb.device).unbind(dim=1)
        images = rgb.movedim(-1, 1).float() / 255.0
        if cfg.shift:
            images = _shifted(images, cfg.shift * right, cfg.shift * down)
        if cfg.blur:
            images = _blurred(images, cfg.blur * (blur + 1.0) / 2.0)
        if cfg.contrast:
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = mean + (images - mean) * (1.0 + cfg.contrast * contrast.view(-1, 1, 1, 1))
        images = images + cfg.brightness * brightness.view(-1, 1, 1, 1)
        return (images.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).movedim(1, -1).contiguous()

    def depths(self, depth: Tensor, camera: int) -> Tensor:
        """Return what a camera, by its number, makes of depth images (n, height, width, 1): they are shifted."""
        if not self.cfg.shift:
            return depth
        start = self._start(camera) + 8  # behind brightness and contrast
        right, down = self.draws[:, start : start + 2].to(depth.device).unbind(dim=1)
        shifted = _shifted(depth.movedim(-1, 1), self.cfg.shift * right, self.cfg.shift * down)
        return shifted.movedim(1, -1).contiguous()


def _shifted(images: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Shift images (n, C, H, W) by whole pixels, by shares of their size (n,); borders are continued."""
    count, _, height, width = images.shape
    rows = torch.arange(height, device=images.device) - (down * height).round().long()[:, None]
    columns = torch.arange(width, device=images.device) - (right * width).round().long()[:, None]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    worlds = torch.arange(count, device=images.device)[:, None, None]
    return images.movedim(1, -1)[worlds, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images (n, C, H, W) with Gaussians of each image's own standard deviation (n,) [px]."""
    radius = max(1, int(np.ceil(3.0 * float(sigma.max()))))
    x = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (x / sigma.clamp(min=1e-3)[:, None]).square())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(images.shape[1], dim=0)[:, None]
    count, channels, height, width = images.shape
    flat = images.reshape(1, count * channels, height, width)
    flat = functional.pad(flat, (radius, radius, 0, 0), mode="replicate")
    flat = functional.conv2d(flat, kernel[:, :, None, :], groups=count * channels)
    flat = functional.pad(flat, (0, 0, radius, radius), mode="replicate")
    flat = functional.conv2d(flat, kernel[:, :, :, None], groups=count * channels)
    return flat.view(count, channels, height, width)
