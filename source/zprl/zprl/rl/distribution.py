# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The distributions of a network's output, and their settings as rsl_rl's constructors take them."""

from __future__ import annotations

import math
from dataclasses import MISSING
from typing import Annotated, Any

import torch
from rsl_rl.modules.distribution import Distribution, GaussianDistribution
from torch import Tensor, nn
from torch.nn import functional

from zprl.utils.configclass import configclass
from zprl.utils.constraints import Increasing, Name, NonNegativeFloat, OneOf, PositiveFloat


@configclass
class DistributionCfg:
    """Settings of the distribution of a network's output; see :class:`rsl_rl.modules.distribution.Distribution`."""

    class_name: Name = MISSING  # type: ignore[assignment]
    """Its class, as rsl_rl names it or as "module:Class"."""


@configclass
class GaussianCfg(DistributionCfg):
    """A Gaussian whose deviation does not depend on the observation."""

    class_name = "GaussianDistribution"

    init_std: PositiveFloat = 1.0
    """First standard deviation."""

    std_type: Annotated[str, OneOf("scalar", "log")] = "scalar"
    """What is learned of it: "scalar", itself, or "log", its logarithm."""

    std_range: Annotated[tuple[PositiveFloat, PositiveFloat], Increasing()] = (1e-6, 1e6)
    """Bounds of the standard deviation."""


@configclass
class SquashedGaussianCfg(DistributionCfg):
    """Settings of :class:`SquashedGaussian`."""

    class_name: Name = "zprl.rl.distribution:SquashedGaussian"

    log_std_range: Annotated[tuple[float, float], Increasing()] = (-10.0, 2.0)
    """Range of the logarithm of the standard deviation before the tanh."""

    last_layer_gain: NonNegativeFloat = 0.01
    """Gain of the last layer's orthogonal initialisation."""


class ZeroMeanGaussian(GaussianDistribution):
    """A Gaussian whose mean starts at zero for every observation, so that the first policy is the base policy."""

    def init_mlp_weights(self, mlp: nn.Module) -> None:
        """Zero the network's last layer."""
        last = [layer for layer in mlp.modules() if isinstance(layer, nn.Linear)][-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)


class SquashedGaussian(Distribution):
    """tanh(x) with x Gaussian, its mean and deviation by the network (arXiv 1801.01290, App. C).

    The logarithm of the deviation is squashed to a range. Where the last layer starts near zero, the mean does so too
    and the deviation starts in the middle of the range: with the default one exp(-4), which is almost no exploration.

    Args:
        output_dim: Length of the output.
        **settings: See :class:`SquashedGaussianCfg`.
    """

    def __init__(self, output_dim: int, **settings: Any) -> None:
        super().__init__(output_dim)
        self.cfg = SquashedGaussianCfg(**settings)
        self._mean, self._log_std = torch.empty(0), torch.empty(0)

    def init_mlp_weights(self, mlp: nn.Module) -> None:
        """Initialise the network's layers orthogonally, the last one near zero."""
        *hidden, last = [layer for layer in mlp.modules() if isinstance(layer, nn.Linear)]
        for layer in hidden:
            nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
            nn.init.zeros_(layer.bias)
        nn.init.orthogonal_(last.weight, self.cfg.last_layer_gain)
        nn.init.zeros_(last.bias)

    def update(self, mlp_output: Tensor) -> None:
        """See :meth:`Distribution.update`."""
        self._mean, squashed = mlp_output.chunk(2, dim=-1)
        low, high = self.cfg.log_std_range
        self._log_std = low + 0.5 * (high - low) * (torch.tanh(squashed) + 1.0)

    def sample(self) -> Tensor:
        """Sample outputs, shape (N, output_dim)."""
        return self.sample_with_log_prob(torch.randn_like(self._mean))[0].detach()

    def sample_with_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Sample outputs so that gradients reach mean and deviation.

        Args:
            noise: Standard normal numbers (N, output_dim).

        Returns:
            Outputs (N, output_dim) and their log-densities (N,).
        """
        x = self._mean + self._log_std.exp() * noise
        return torch.tanh(x), self._log_density(x, noise)

    def log_prob(self, outputs: Tensor) -> Tensor:
        """See :meth:`Distribution.log_prob`."""
        x = torch.atanh(outputs)
        return self._log_density(x, (x - self._mean) / self._log_std.exp())

    def _log_density(self, x: Tensor, noise: Tensor) -> Tensor:
        log_prob = -0.5 * noise.square() - self._log_std - 0.5 * math.log(2.0 * math.pi)
        # log(1 - tanh(x)^2), in a form that does not cancel for large x.
        log_slope = 2.0 * (math.log(2.0) - x - functional.softplus(-2.0 * x))
        return (log_prob - log_slope).sum(dim=-1)

    def deterministic_output(self, mlp_output: Tensor) -> Tensor:
        """Return tanh of the mean, shape (N, output_dim)."""
        return torch.tanh(mlp_output.chunk(2, dim=-1)[0])

    def as_deterministic_output_module(self) -> nn.Module:
        """See :meth:`Distribution.as_deterministic_output_module`."""
        return _TanhOfFirstHalf()

    @property
    def input_dim(self) -> int:
        """Width of the network's output: means and squashed deviations."""
        return 2 * self.output_dim

    @property
    def mean(self) -> Tensor:
        """Tanh of the mean, shape (N, output_dim)."""
        return torch.tanh(self._mean)

    @property
    def std(self) -> Tensor:
        """Standard deviation before the tanh, shape (N, output_dim)."""
        return self._log_std.exp()

    @property
    def params(self) -> tuple[Tensor, ...]:
        """Mean and standard deviation before the tanh."""
        return self._mean, self._log_std.exp()


class _TanhOfFirstHalf(nn.Module):
    def forward(self, mlp_output: Tensor) -> Tensor:
        return torch.tanh(mlp_output.chunk(2, dim=-1)[0])
