# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The distribution of the learner's output."""

from __future__ import annotations

from rsl_rl.modules.distribution import GaussianDistribution
from torch import nn


class ZeroMeanGaussian(GaussianDistribution):
    """A Gaussian whose mean starts at zero for every observation, so that the first policy is the base policy."""

    def init_mlp_weights(self, mlp: nn.Module) -> None:
        """Zero the network's last layer."""
        last = [layer for layer in mlp.modules() if isinstance(layer, nn.Linear)][-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
