# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The velocity field of the paper (arXiv 2605.19919): Diffusion Policy's one-dimensional U-Net (arXiv 2303.04137).

Its convolutions run over the control steps of a chunk. The condition and the flow time reach each of its residual
blocks by FiLM (arXiv 1709.07871). The reference network maps ``[time, condition]`` to the scales and shifts by one
linear layer per block; here that layer is split into a part for the condition, computed once per chunk, and one for
the time, computed once per solver schedule. Nothing else is changed by it: mish acts on each number by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from zprl.policies.flow.cfg import FlowPolicyCfg
from zprl.policies.flow.flow_matching import time_features
from zprl.policies.flow.velocity_field import VelocityField
from zprl.utils.errors import ZprlError


class ConvBlock(nn.Module):
    """Convolution, GroupNorm, mish."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel_size, padding=kernel_size // 2)
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, h: Tensor) -> Tensor:
        """Map (N, inputs, L) to (N, outputs, L)."""
        return functional.mish(self.norm(self.conv(h)))


class FilmBlock(nn.Module):
    """Two blocks of convolutions with FiLM between them, and a residual connection around both."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, groups: int) -> None:
        super().__init__()
        self.block_in = ConvBlock(inputs, outputs, kernel_size, groups)
        self.block_out = ConvBlock(outputs, outputs, kernel_size, groups)
        self.residual = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, h: Tensor, film: Tensor) -> Tensor:
        """Map (N, inputs, L) to (N, outputs, L), with scale and shift side by side in (N, 2 outputs)."""
        scale, shift = film.unsqueeze(-1).chunk(2, dim=1)
        return self.residual(h) + self.block_out(torch.addcmul(shift, scale, self.block_in(h)))


class UNetVelocityField(VelocityField):
    """One-dimensional U-Net over the steps of a chunk, with FiLM conditioning.

    Each of the levels has two blocks on the way down and, but for the first, two on the way up, which see what left
    their level on the way down as well; two more lie in between. From level to level a convolution of stride 2 halves
    the number of steps, and a transposed one doubles it. A horizon that this does not divide is padded with zeros at
    its end, and the padding cut off again.

    Settings: ``unet_channels`` (one number per level), ``unet_kernel_size``, ``unet_groups`` and ``time_embed_dim``;
    the time network's hidden width is four times the latter.

    Raises:
        ZprlError: If the kernel size is even, or a level's channels do not make whole groups.
    """

    def __init__(self, cfg: FlowPolicyCfg, action_dim: int) -> None:
        super().__init__()
        channels, kernel_size, groups = cfg.unet_channels, cfg.unet_kernel_size, cfg.unet_groups
        if kernel_size % 2 == 0:
            raise ZprlError(f"FlowPolicyCfg.unet_kernel_size is {kernel_size}; it must be odd.")
        odd = [count for count in channels if count % groups]
        if odd:
            raise ZprlError(
                f"FlowPolicyCfg.unet_channels has {odd[0]}, which is no multiple of unet_groups ({groups})."
            )
        self.time_embed_dim = cfg.time_embed_dim
        self.padding = -cfg.horizon % 2 ** (len(channels) - 1)

        def blocks(inputs: int, outputs: int) -> list[FilmBlock]:
            return [FilmBlock(count, outputs, kernel_size, groups) for count in (inputs, outputs)]

        widths = [action_dim, *channels]
        upwards = channels[-2::-1]
        self.down = nn.ModuleList(b for level in range(len(channels)) for b in blocks(*widths[level : level + 2]))
        self.downsample = nn.ModuleList(nn.Conv1d(count, count, 3, stride=2, padding=1) for count in channels[:-1])
        self.middle = nn.ModuleList(blocks(channels[-1], channels[-1]))
        self.up = nn.ModuleList(
            b for below, count in zip(channels[:0:-1], upwards, strict=True) for b in blocks(2 * below, count)
        )
        self.upsample = nn.ModuleList(nn.ConvTranspose1d(count, count, 4, stride=2, padding=1) for count in upwards)
        self.output_block = ConvBlock(channels[0], channels[0], kernel_size, groups)
        self.output = nn.Conv1d(channels[0], action_dim, 1)

        self.film_widths = [2 * count for count in (*channels, channels[-1], *upwards) for _ in range(2)]
        dim, film = cfg.time_embed_dim, sum(self.film_widths)
        self.condition_modulation = nn.Linear(cfg.embed_dim, film)
        time_modulation = nn.Linear(dim, film, bias=False)
        self.time_mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.Mish(), nn.Linear(4 * dim, dim), nn.Mish(), time_modulation
        )
        # As one layer of both would be.
        bound = (dim + cfg.embed_dim) ** -0.5
        for values in (self.condition_modulation.weight, self.condition_modulation.bias, time_modulation.weight):
            nn.init.uniform_(values, -bound, bound)

    def modulation(self, condition: Tensor) -> Tensor:
        """Scales and shifts (N, film) of a condition (N, embed_dim): those of each block, in their order."""
        return self.condition_modulation(functional.mish(condition))

    def time_tables(self, times: Tensor) -> Tensor:
        """What the flow times (R,) add to the scales and shifts: (R, film)."""
        return self.time_mlp(time_features(times, self.time_embed_dim))

    def velocity(self, x: Tensor, modulation: Tensor, time_row: Tensor) -> Tensor:
        """See :meth:`VelocityField.velocity`."""
        films = iter((modulation + time_row).split(self.film_widths, dim=-1))
        h = functional.pad(x.transpose(1, 2), (0, self.padding))
        passed: list[Tensor] = []
        for index, block in enumerate(self.down):
            h = block(h, next(films))
            if index % 2 == 1:
                passed.append(h)
                if index // 2 < len(self.downsample):
                    h = self.downsample[index // 2](h)
        for block in self.middle:
            h = block(h, next(films))
        for index, block in enumerate(self.up):
            h = block(h if index % 2 else torch.cat([h, passed.pop()], dim=1), next(films))
            if index % 2 == 1:
                h = self.upsample[index // 2](h)
        return self.output(self.output_block(h))[..., : x.shape[1]].transpose(1, 2)

    def forward(self, x: Tensor, condition: Tensor, t: Tensor) -> Tensor:
        """See :meth:`VelocityField.forward`."""
        return self.velocity(x, self.modulation(condition), self.time_tables(t))
