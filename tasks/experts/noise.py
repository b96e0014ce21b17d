# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How experts err, so that not every demonstration succeeds."""

from __future__ import annotations

import math

import torch

from zprl.tasks.experts.expert import ExpertCfg
from zprl.utils.configclass import configclass


@configclass
class ExpertNoiseCfg:
    """How an expert errs; all zero is the noiseless expert. A learned one errs in its actions only."""

    action_std: float = 0.0
    """Stationary standard deviation of the AR(1) noise on the arm's actions, as a share of the action's range."""

    action_correlation: float = 0.8
    """Correlation of that noise between successive steps."""

    position_bias: float = 0.0
    """Standard deviation of the episode's grasp bias in x and y [m]."""

    yaw_bias: float = 0.0
    """Standard deviation of the episode's yaw bias [rad]."""

    speed_range: tuple[float, float] = (1.0, 1.0)
    """Range of the episode's speed factor."""

    def scaled(self, factor: float) -> ExpertNoiseCfg:
        """Return this noise, so many times as large; a speed stays above a tenth."""
        low, high = (max(1.0 + factor * (speed - 1.0), 0.1) for speed in self.speed_range)
        return ExpertNoiseCfg(
            action_std=factor * self.action_std,
            action_correlation=self.action_correlation,
            position_bias=factor * self.position_bias,
            yaw_bias=factor * self.yaw_bias,
            speed_range=(low, high),
        )


@configclass
class NoisyExpertCfg(ExpertCfg):
    """An expert of two qualities: "expert" has no noise, "mixed" has some."""

    mixed: ExpertNoiseCfg = ExpertNoiseCfg()
    """The noise of quality "mixed"."""

    noise_scale: float = 1.0
    """How many times as large that noise is: the one number that sets how often a demonstration succeeds."""

    def noise(self, quality: str) -> ExpertNoiseCfg:
        """Return the noise of a quality.

        Raises:
            ValueError: If the quality is unknown.
        """
        if quality == "expert":
            return ExpertNoiseCfg()
        if quality == "mixed":
            return self.mixed.scaled(self.noise_scale)
        raise ValueError(f"Unknown quality '{quality}'; choose 'mixed' or 'expert'.")


class ActionNoise:
    """Noise on actions that lasts: an AR(1) process in every element, which begins as it goes on.

    Args:
        cfg: Its standard deviation and correlation.
        shape: Environments and elements of an action.
        generator: Draws it, for every environment at once, so that an episode's noise does not depend on which others
            end with it.
    """

    def __init__(self, cfg: ExpertNoiseCfg, shape: tuple[int, int], generator: torch.Generator) -> None:
        self._cfg, self._generator = cfg, generator
        self._value = torch.zeros(shape, device=generator.device)

    def _drawn(self) -> torch.Tensor:
        return torch.randn(self._value.shape, generator=self._generator, device=self._value.device)

    def restart(self, env_ids: torch.Tensor) -> None:
        """Begin anew in some environments."""
        self._value[env_ids] = (self._drawn() * self._cfg.action_std)[env_ids]

    def step(self) -> torch.Tensor:
        """Return the noise of the next action, shape as given."""
        rho = self._cfg.action_correlation
        fresh = self._drawn() * self._cfg.action_std * math.sqrt(1 - rho * rho)
        # In place: whatever is made in inference mode could not be changed outside of it.
        return self._value.mul_(rho).add_(fresh)
