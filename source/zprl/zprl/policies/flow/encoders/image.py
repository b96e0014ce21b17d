# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A small convolutional encoder, fast enough for CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zprl.policies.flow.cfg import ImageEncoderCfg
from zprl.policies.flow.encoders.cameras import CameraEmbedding


class ImageEmbedding(CameraEmbedding):
    """Per camera a few convolutions that tell where something is.

    The first convolution looks at overlapping patches of 8 x 8 pixels, every 4 pixels, which is where most of the time
    would go; those that follow keep the resolution. Several steps stand side by side as channels.
    """

    def make_camera(
        self, cfg: ImageEncoderCfg, steps: int, channels: int, crop: tuple[int, int]
    ) -> tuple[nn.Module, int]:
        """See :meth:`CameraEmbedding.make_camera`."""
        first, *others = cfg.channels
        layers: list[nn.Module] = [nn.Flatten(1, 2), nn.Conv2d(steps * channels, first, 8, stride=4, padding=2)]
        for before, after in zip(cfg.channels, others, strict=False):
            layers += [nn.GELU(), nn.Conv2d(before, after, 3, padding=1)]
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                # The usual initial weights shrink what passes through. A soft maximum of maps that are almost flat is
                # their middle, wherever things are, and learning takes hundreds of steps to begin.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        return nn.Sequential(*layers, SpatialSoftmax()), 2 * cfg.channels[-1]


class SpatialSoftmax(nn.Module):
    """Where each feature map (N, C, H, W) is largest, by a soft maximum, in [-1, 1]: (N, 2 C).

    Positions instead of averages (arXiv 1504.00702), which is what manipulation needs.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return all vertical positions, then all horizontal ones."""
        weights = maps.flatten(2).softmax(dim=-1).unflatten(2, maps.shape[2:])
        y = torch.linspace(-1.0, 1.0, maps.shape[2], device=maps.device, dtype=maps.dtype)
        x = torch.linspace(-1.0, 1.0, maps.shape[3], device=maps.device, dtype=maps.dtype)
        return torch.cat([(weights.sum(dim=3) * y).sum(dim=2), (weights.sum(dim=2) * x).sum(dim=2)], dim=1)
