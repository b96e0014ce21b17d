# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the learner's networks, as rsl_rl's constructors take them."""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

from zprl.utils.configclass import configclass


@configclass
class DistributionCfg:
    """Settings of the distribution of a network's output; see :class:`rsl_rl.modules.distribution.Distribution`."""

    class_name: str = MISSING  # type: ignore[assignment]
    """Its class, as rsl_rl names it or as "module:Class"."""


@configclass
class GaussianCfg(DistributionCfg):
    """A Gaussian whose deviation does not depend on the observation."""

    class_name = "GaussianDistribution"

    init_std: float = 1.0
    """First standard deviation."""

    std_type: str = "scalar"
    """What is learned of it: "scalar", itself, or "log", its logarithm."""

    std_range: tuple[float, float] = (1e-6, 1e6)
    """Bounds of the standard deviation."""


@configclass
class MLPModelCfg:
    """Settings of :class:`rsl_rl.models.MLPModel`."""

    class_name: str = "MLPModel"
    """Its class, as rsl_rl names it or as "module:Class"."""

    hidden_dims: list[int] = [256, 128]
    """Widths of the hidden layers."""

    activation: str = "elu"
    """Activation between them, as rsl_rl names it."""

    obs_normalization: bool = True
    """Whether to normalise the observations by running statistics."""

    distribution_cfg: DistributionCfg | None = None
    """Distribution of the output; None for a deterministic one."""


def model_arguments(cfg: dict[str, Any]) -> dict[str, Any]:
    """Return a model's settings, as a dictionary, without what is None, which not every constructor takes."""
    return {name: value for name, value in cfg.items() if value is not None}
