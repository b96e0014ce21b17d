# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What stands between a task's raw numbers and the flow policy: the normaliser, and the encoders of observations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zprl.policies.flow.cfg import FlowPolicyCfg
from zprl.utils.errors import ZprlError
from zprl.utils.modules import make_mlp

MIN_STD = 1.0e-3
"""Standard deviation below which a dimension counts as constant, in the dimension's own unit."""


class Normalizer(nn.Module):
    """Affine map to zero mean and unit variance for each of D dimensions; the identity until :meth:`fit` is called."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    @torch.no_grad()
    def fit(self, data: Tensor, constant_std: float) -> None:
        """Take the statistics of the data.

        A dimension that does not move in the data (its standard deviation is below :data:`MIN_STD`) gets
        ``constant_std`` instead, as division by almost zero would blow up the smallest later deviation. The right value
        depends on the direction the normaliser is used in: 1 for observations, where a later deviation should enter in
        its own unit; something small for actions, where an error of the network should not move a constant action.

        Args:
            data: Samples (N, D), in the dimensions' own units.
            constant_std: Standard deviation of the constant dimensions, in their own unit.

        Raises:
            ValueError: If the data is empty, has another width or is not finite.
        """
        if data.ndim != 2 or data.shape[0] == 0 or data.shape[1] != self.mean.shape[0]:
            raise ValueError(f"expected data of shape (N > 0, {self.mean.shape[0]}), got {tuple(data.shape)}.")
        if not torch.isfinite(data).all():
            raise ValueError("the data to normalise holds NaN or infinity.")
        # Double precision: a large offset, such as a world position, would cancel the variance in single precision.
        data = data.double()
        std = data.std(dim=0, correction=0)
        self.mean.copy_(data.mean(dim=0))
        self.std.copy_(torch.where(std < MIN_STD, torch.full_like(std, constant_std), std))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (..., D)."""
        return (x - self.mean) / self.std

    def inverse(self, x: Tensor) -> Tensor:
        """Undo :meth:`forward`, for x (..., D)."""
        return x * self.std + self.mean


class ObservationEmbedding(nn.Module):
    """MLP from a normalised state to the embedding e.

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

    Raises:
        ZprlError: If there is no image, or one is not of shape (height, width, channels).
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
