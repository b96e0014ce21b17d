# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What encoders of images share: shapes, crops, units, and the way from all cameras and the state to the embedding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zprl.policies.flow.cfg import FlowPolicyCfg, ImageEncoderCfg
from zprl.utils.errors import ZprlError
from zprl.utils.modules import make_mlp

CHANNELS = (1, 3, 4)
"""Numbers of channels that an image can have, which come last: grey or depth, colours, colours and another one."""


class CameraEmbedding(nn.Module, ABC):
    """A network per camera, then its features and the state through an MLP to the embedding e.

    Images are bytes (grey or RGB) or, with one channel, depths [m] as floating-point numbers. The network sees the
    middle of an image, in [-1, 1]; training hands in crops of that size from other places.

    Args:
        cfg: Configuration of the policy.
        obs_dim: Width of the state.
        image_shapes: Shapes (height, width, channels) of the images by name, of several steps with these in front.

    Raises:
        ZprlError: If there is no image, or one is of another shape or smaller than its crop.
    """

    def __init__(self, cfg: FlowPolicyCfg, obs_dim: int, image_shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        odd = [f"{name} {shape}" for name, shape in image_shapes.items() if not _is_image(shape)]
        if odd or not image_shapes:
            raise ZprlError(
                f"the encoder {type(self).__name__} needs images of shape (height, width, channels) with "
                f"{', '.join(map(str, CHANNELS[:-1]))} or {CHANNELS[-1]} channels, and the policy is to see "
                f"{', '.join(odd) or 'none'}; name their groups in policy.observation_groups."
            )
        self.image_shapes = dict(image_shapes)
        self.crops = {name: crop_of(cfg.images, name, shape) for name, shape in image_shapes.items()}
        """Height and width of what the networks see, by the images' names."""
        self.depth_range = cfg.images.depth_range
        self.cameras = nn.ModuleDict()
        width = obs_dim
        for name, shape in image_shapes.items():
            steps = shape[0] if len(shape) == 4 else 1
            self.cameras[name], features = self.make_camera(cfg.images, steps, shape[-1], self.crops[name])
            width += features
        self.mlp = make_mlp(width, cfg.embed_hidden_dims, cfg.embed_dim)

    @abstractmethod
    def make_camera(
        self, cfg: ImageEncoderCfg, steps: int, channels: int, crop: tuple[int, int]
    ) -> tuple[nn.Module, int]:
        """Return a camera's network, from (N, steps, channels, height, width) in [-1, 1], and the width it ends with.

        Args:
            cfg: Settings.
            steps: Number of steps of an observation.
            channels: Channels of an image.
            crop: Height and width of what it sees.
        """

    def forward(self, obs: Tensor, images: Mapping[str, Tensor]) -> Tensor:
        """Embed a normalised state (N, obs_dim) and images, (N, ...) each.

        Raises:
            ZprlError: If an image has another shape or type than the policy sees.
        """
        features = [obs]
        for name, camera in self.cameras.items():
            features.append(camera(self._scaled(name, images[name], obs.dtype)))
        return self.mlp(torch.cat(features, dim=-1))

    def _scaled(self, name: str, image: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the middle of an image in [-1, 1], as (N, steps, channels, height, width)."""
        shape, (height, width) = self.image_shapes[name], self.crops[name]
        size = tuple(image.shape[1:])
        if size not in (shape, (*shape[:-3], height, width, shape[-1])):
            raise ZprlError(f"the image {name} has the shape {size}, and the policy sees {shape}.")
        top, left = (image.shape[-3] - height) // 2, (image.shape[-2] - width) // 2
        image = image[..., top : top + height, left : left + width, :]
        if image.dtype == torch.uint8:
            scaled = image.to(dtype) / 127.5 - 1.0
        elif image.is_floating_point() and shape[-1] == 1:
            low, high = self.depth_range
            scaled = (image.to(dtype).clamp(low, high) - low) * (2.0 / (high - low)) - 1.0
        else:
            raise ZprlError(
                f"the image {name} of {shape[-1]} channels holds {str(image.dtype).removeprefix('torch.')}; colours "
                "are uint8 from 0 to 255, and only depths [m], of one channel, are floating-point numbers."
            )
        return scaled.movedim(-1, -3).reshape(image.shape[0], -1, shape[-1], height, width)


def crop_of(cfg: ImageEncoderCfg, name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the height and the width of what a network sees of an image.

    Args:
        cfg: Settings.
        name: Name of the image, for the error message.
        shape: Its shape, (..., height, width, channels).

    Raises:
        ZprlError: If it is larger than the image.
    """
    height, width = shape[-3:-1]
    if cfg.crop <= 1.0:
        return max(1, round(cfg.crop * height)), max(1, round(cfg.crop * width))
    if cfg.crop > min(height, width):
        raise ZprlError(
            f"policy.images.crop is {cfg.crop:g} pixels, and the image {name} has {height} x {width}; lower it."
        )
    return round(cfg.crop), round(cfg.crop)


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) in (3, 4) and min(shape) > 0 and shape[-1] in CHANNELS
