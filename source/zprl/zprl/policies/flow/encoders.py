# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Observation encoders: the part of the flow policy that depends on what a task observes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zprl.policies.flow.cfg import FlowPolicyCfg
from zprl.utils.errors import ZprlError
from zprl.utils.modules import make_mlp


class ObservationEmbedding(nn.Module):
    """MLP from a normalised state to the embedding e.

    Args:
        cfg: Configuration of the policy.
        obs_dim: Width of the state.
        image_shapes: Shapes of the images, of which it takes none.

    Raises:
        ZprlError: If there are images.
    """

    def __init__(self, cfg: FlowPolicyCfg, obs_dim: int, image_shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        if image_shapes:
            raise ZprlError(
                f"the encoder {type(self).__name__} sees no images, but the policy is to see {', '.join(image_shapes)};"
                " choose another policy.embedding_class, such as zprl.policies.flow.encoders:ImageEmbedding."
            )
        self.mlp = make_mlp(obs_dim, cfg.embed_hidden_dims, cfg.embed_dim)

    def forward(self, obs: Tensor) -> Tensor:
        """Embed a normalised state: (N, obs_dim) to (N, embed_dim)."""
        return self.mlp(obs)


class ImageEmbedding(nn.Module):
    """A small convolutional network per camera, its features and the state through an MLP to the embedding e.

    Args:
        cfg: Configuration of the policy.
        obs_dim: Width of the state.
        image_shapes: Shapes (height, width, channels) of the images by name.

    Raises:
        ZprlError: If there is no image, or one has another number of dimensions.
    """

    CHANNELS = (16, 32, 32)
    """Channels of the convolutions, each of stride 2 over 3 x 3 pixels."""

    def __init__(self, cfg: FlowPolicyCfg, obs_dim: int, image_shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        odd = [f"{name} {shape}" for name, shape in image_shapes.items() if len(shape) != 3]
        if odd or not image_shapes:
            raise ZprlError(
                f"the encoder {type(self).__name__} needs images of shape (height, width, channels), and the policy is "
                f"to see {', '.join(odd) or 'none'}; name their groups in policy.observation_groups."
            )
        self.convolutions = nn.ModuleDict({name: self._convolutions(shape[2]) for name, shape in image_shapes.items()})
        width = obs_dim + 2 * self.CHANNELS[-1] * len(image_shapes)
        self.mlp = make_mlp(width, cfg.embed_hidden_dims, cfg.embed_dim)

    def _convolutions(self, channels: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in self.CHANNELS:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.GELU()]
            channels = width
        return nn.Sequential(*layers)

    def forward(self, obs: Tensor, images: Mapping[str, Tensor]) -> Tensor:
        """Embed a normalised state (N, obs_dim) and images (N, height, width, channels), uint8 or float in [0, 1]."""
        features = [obs]
        for name, convolutions in self.convolutions.items():
            image = images[name]
            scaled = image.to(obs.dtype) / 255.0 if image.dtype == torch.uint8 else image.to(obs.dtype)
            features.append(_where(convolutions(scaled.movedim(-1, 1))))
        return self.mlp(torch.cat(features, dim=-1))


def _where(maps: Tensor) -> Tensor:
    """Return where each feature map (N, C, H, W) is largest, by a soft maximum, in [-1, 1]: (N, 2 C).

    The spatial softmax of arXiv 1504.00702: positions instead of averages, which is what manipulation needs.
    """
    weights = maps.flatten(2).softmax(dim=-1).unflatten(2, maps.shape[2:])
    y = torch.linspace(-1.0, 1.0, maps.shape[2], device=maps.device, dtype=maps.dtype)
    x = torch.linspace(-1.0, 1.0, maps.shape[3], device=maps.device, dtype=maps.dtype)
    return torch.cat([(weights.sum(dim=3) * y).sum(dim=2), (weights.sum(dim=2) * x).sum(dim=2)], dim=1)
