# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Random changes of images by which training makes more of few demonstrations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from zprl.policies.flow.cfg import ImageAugmentationCfg
from zprl.policies.flow.policy import Inputs


class ImageAugmentation:
    """Crops images at random places and changes their colours, each row's otherwise; all its steps alike.

    Args:
        cfg: Settings.
        crops: Height and width of the crops of the images by name; what is not named keeps its size.
    """

    def __init__(self, cfg: ImageAugmentationCfg, crops: Mapping[str, tuple[int, int]]) -> None:
        self.cfg = cfg
        self.crops = crops

    def __call__(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        """Change the images of a batch; without images it is what it was, and nothing is drawn.

        Args:
            inputs: What the policy takes; see :meth:`FlowPolicy.inputs`.
            generator: Source of randomness, on the images' device.
        """
        if isinstance(inputs, Tensor):
            return inputs
        return {
            name: self._changed(name, value, generator) if value.ndim > 2 else value for name, value in inputs.items()
        }

    def _changed(self, name: str, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change images (N, ..., height, width, channels)."""
        if self.cfg.random_crop and name in self.crops:
            images = random_crop(images, self.crops[name], generator)
        if images.dtype != torch.uint8:
            return images
        return self._recoloured(images, generator)

    def _recoloured(self, images: Tensor, generator: torch.Generator) -> Tensor:
        cfg, n, channels = self.cfg, len(images), images.shape[-1]

        def drawn(*shape: int) -> Tensor:
            """Draw from [-1, 1]."""
            return 2.0 * torch.rand(n, *shape, generator=generator, device=images.device) - 1.0

        if not (cfg.brightness or cfg.contrast or cfg.color or cfg.blur):
            return images
        flat = images.reshape(n, -1, *images.shape[-3:]).float()
        if cfg.brightness:
            flat = flat + 255.0 * cfg.brightness * drawn(1, 1, 1, 1)
        if cfg.contrast:
            mean = flat.mean(dim=(1, 2, 3, 4), keepdim=True)
            flat = mean + (1.0 + cfg.contrast * drawn(1, 1, 1, 1)) * (flat - mean)
        if cfg.color:
            flat = flat * (1.0 + cfg.color * drawn(1, 1, 1, channels))
        if cfg.blur:
            chosen = torch.rand(n, generator=generator, device=images.device) < cfg.blur
            flat = torch.where(chosen.view(-1, 1, 1, 1, 1), blurred(flat), flat)
        return flat.clamp(0.0, 255.0).round().byte().reshape(images.shape)


def random_crop(images: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Cut a window out of each row of images (N, ..., H, W, C), (N, ..., height, width, C).

    Args:
        images: Images of any type.
        size: Height and width of the windows.
        generator: Source of randomness, on the images' device.
    """
    (height, width), device = size, images.device
    flat = images.reshape(len(images), -1, *images.shape[-3:])
    room = flat.shape[2] - height + 1, flat.shape[3] - width + 1
    top, left = (torch.randint(r, (len(images), 1), generator=generator, device=device) for r in room)
    # Indices of (N, height, 1) and (N, 1, width), so that rows and columns of all images are picked in one call.
    rows = (top + torch.arange(height, device=device))[:, :, None]
    columns = (left + torch.arange(width, device=device))[:, None, :]
    row = torch.arange(len(images), device=device)[:, None, None]
    cut = flat.movedim(1, -1)[row, rows, columns].movedim(-1, 1)
    return cut.reshape(*images.shape[:-3], height, width, images.shape[-1])


def blurred(images: Tensor) -> Tensor:
    """Blur images (N, T, H, W, C), float, by the kernel [1 2 1] / 4 in both directions; edges are repeated."""
    for dim in (2, 3):
        pad = (0, 0, 1, 1, 0, 0) if dim == 3 else (0, 0, 0, 0, 1, 1)
        padded, size = functional.pad(images, pad, mode="replicate"), images.shape[dim]
        images = 0.25 * padded.narrow(dim, 0, size) + 0.5 * images + 0.25 * padded.narrow(dim, 2, size)
    return images
