# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The encoder of the ZPRL paper (arXiv 2605.19919): a ResNet18 per camera, for GPUs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zprl.policies.flow.cfg import ImageEncoderCfg
from zprl.policies.flow.encoders.cameras import CameraEmbedding
from zprl.utils.errors import NotInstalledError, ZprlError

CHANNELS_PER_GROUP = 16
"""Channels that a GroupNorm normalises together."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours in [0, 1] that published weights were trained on."""


class ResNetEmbedding(CameraEmbedding):
    """A ResNet18 per camera, with GroupNorm instead of BatchNorm and spatial learned embeddings instead of an average.

    GroupNorm does not mix the rows of a batch, and goes with averaged weights (arXiv 2303.04137). Several steps pass
    through the same network one by one, and their features stand side by side.
    """

    SPATIAL_BLOCKS, WIDTH = 8, 256
    """Learned embeddings of each feature map, and features of a step."""

    def make_camera(
        self, cfg: ImageEncoderCfg, steps: int, channels: int, crop: tuple[int, int]
    ) -> tuple[nn.Module, int]:
        """See :meth:`CameraEmbedding.make_camera`."""
        return ResNetCamera(channels, crop, self.SPATIAL_BLOCKS, self.WIDTH), steps * self.WIDTH

    def load_backbones(self, weights: Mapping[str, Tensor], source: str) -> None:
        """Begin with the convolutions of a trained ResNet18, as torchvision names them, in the colour cameras.

        Args:
            weights: Weights by name; those of the normalisation and of the classifier are not used.
            source: What they come from, for the error message.

        Raises:
            ZprlError: If one is missing or of another shape, or there is no colour camera.
        """
        backbones = [c.backbone for c in self.cameras.values() if isinstance(c, ResNetCamera) and c.channels == 3]
        if not backbones:
            raise ZprlError(f"{source} begins cameras of three colours, and the policy has none; leave it out.")
        for backbone in backbones:
            for name, module in backbone.named_modules():
                if isinstance(module, nn.Conv2d):
                    given = weights.get(f"{name}.weight")
                    if given is None or given.shape != module.weight.shape:
                        found = "nothing" if given is None else f"the shape {tuple(given.shape)}"
                        raise ZprlError(
                            f"{source} is not of a ResNet18: it holds {found} as {name}.weight, and "
                            f"{tuple(module.weight.shape)} belongs there."
                        )
                    with torch.no_grad():
                        module.weight.copy_(given)


class ResNetCamera(nn.Module):
    """One camera's network: (N, steps, channels, height, width) in [-1, 1] to (N, steps * width).

    Args:
        channels: Channels of an image.
        crop: Height and width.
        spatial_blocks: Learned embeddings of each feature map.
        width: Features of a step.
    """

    def __init__(self, channels: int, crop: tuple[int, int], spatial_blocks: int, width: int) -> None:
        super().__init__()
        try:
            from torchvision.models.resnet import resnet18
        except ImportError as error:
            raise NotInstalledError(
                "the encoder ResNetEmbedding needs torchvision; install it with `pip install torchvision`."
            ) from error
        backbone = resnet18(weights=None, norm_layer=lambda count: nn.GroupNorm(count // CHANNELS_PER_GROUP, count))
        if channels != 3:
            backbone.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        features = backbone.fc.in_features
        backbone.avgpool = backbone.fc = nn.Identity()  # type: ignore[assignment]
        self.channels, self.backbone = channels, backbone
        # Every stage halves: stem, pooling, and three of the four groups of blocks.
        height, breadth = (_halved(size, 5) for size in crop)
        self.pooling = SpatialLearnedEmbeddings(features, height, breadth, spatial_blocks)
        self.output = nn.Sequential(nn.Linear(spatial_blocks * features, width), nn.LayerNorm(width), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        return torch.cat([self._step(images[:, step]) for step in range(images.shape[1])], dim=1)

    def _step(self, x: Tensor) -> Tensor:
        if x.shape[1] == 3:
            mean = torch.tensor(IMAGENET_MEAN, dtype=x.dtype, device=x.device).view(3, 1, 1)
            std = torch.tensor(IMAGENET_STD, dtype=x.dtype, device=x.device).view(3, 1, 1)
            x = (0.5 * x + 0.5 - mean) / std
        net = self.backbone  # what torchvision computes before its average
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return self.output(self.pooling(net.layer4(net.layer3(net.layer2(net.layer1(x))))))


class SpatialLearnedEmbeddings(nn.Module):
    """Weighted sums over each feature map (N, C, H, W), with learned weights: (N, C * blocks).

    Unlike an average they keep where something is (arXiv 2401.16013).
    """

    def __init__(self, channels: int, height: int, width: int, blocks: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(channels, height * width, blocks))
        nn.init.normal_(self.kernel, std=(height * width) ** -0.5)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the sums."""
        return (maps.flatten(2).unsqueeze(-1) * self.kernel).sum(dim=2).flatten(1)


def _halved(size: int, times: int) -> int:
    """Return what is left of a side [pixels] after convolutions of stride 2 that round up."""
    for _ in range(times):
        size = (size + 1) // 2
    return size
