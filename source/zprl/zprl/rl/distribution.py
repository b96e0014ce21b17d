# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The distributions of the learner's output."""

from __future__ import annotations

import math

import torch
from rsl_rl.modules.distribution import Distribution, GaussianDistribution
from torch import Tensor, nn
from torch.nn import functional


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
        log_std_range: Range of the logarithm of x's standard deviation.
        last_layer_gain: Gain of the last layer's orthogonal initialisation.
    """

    def __init__(
        self, output_dim: int, log_std_range: tuple[float, float] = (-10.0, 2.0), last_layer_gain: float = 0.01
    ) -> None:
        super().__init__(output_dim)
        self.log_std_range = log_std_range
        self.last_layer_gain = last_layer_gain
        self._mean, self._log_std = torch.empty(0), torch.empty(0)

    def init_mlp_weights(self, mlp: nn.Module) -> None:
        """Initialise the network's layers orthogonally, the last one near zero."""
        *hidden, last = [layer for layer in mlp.modules() if isinstance(layer, nn.Linear)]
        for layer in hidden:
            nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
            nn.init.zeros_(layer.bias)
        nn.init.orthogonal_(last.weight, self.last_layer_gain)
        nn.init.zeros_(last.bias)

    def update(self, mlp_output: Tensor) -> None:
        """See :meth:`Distribution.update`."""
        self._mean, squashed = mlp_output.chunk(2, dim=-1)
        low, high = self.log_std_range
        self._log_std = low + 0.5 * (high - low) * (torch.tanh(squashed) + 1.0)

    def sample(self) -> Tensor:
        """Sample outputs, shape (N, output_dim)."""
        return self.sample_with_log_prob()[0].detach()

    def sample_with_log_prob(self) -> tuple[Tensor, Tensor]:
        """Sample outputs so that gradients reach mean and deviation.

        Returns:
            Outputs (N, output_dim) and their log-densities (N,).
        """
        noise = torch.randn_like(self._mean)
        x = self._mean + self._log_std.exp() * noise
        log_prob = -0.5 * noise.square() - self._log_std - 0.5 * math.log(2.0 * math.pi)
        return torch.tanh(x), (log_prob - _log_slope_of_tanh(x)).sum(dim=-1)

    def log_prob(self, outputs: Tensor) -> Tensor:
        """See :meth:`Distribution.log_prob`."""
        x = torch.atanh(outputs)
        noise = (x - self._mean) / self._log_std.exp()
        log_prob = -0.5 * noise.square() - self._log_std - 0.5 * math.log(2.0 * math.pi)
        return (log_prob - _log_slope_of_tanh(x)).sum(dim=-1)

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


def _log_slope_of_tanh(x: Tensor) -> Tensor:
    """log(1 - tanh(x)^2), in a form that does not cancel for large x."""
    return 2.0 * (math.log(2.0) - x - functional.softplus(-2.0 * x))
