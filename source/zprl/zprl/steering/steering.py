# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The interface between a learner and a frozen base policy."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Steering(ABC):
    """Turns a learner's output into the action chunk that is executed.

    A learner sees the observation and :meth:`features`, and outputs ``u``. Every implementation keeps one promise:
    ``u = 0`` executes exactly what the base policy would.
    """

    num_dims: int
    """Length of ``u``."""

    @abstractmethod
    def features(self, obs: Tensor) -> dict[str, Tensor]:
        """What the learner sees beside the observation.

        Args:
            obs: Raw observations, shape (N, obs_dim).

        Returns:
            Named tensors, shape (N, ...).
        """

    @abstractmethod
    def plan(self, obs: Tensor, u: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """Plan an action chunk.

        Args:
            obs: Raw observations, shape (N, obs_dim).
            u: The learner's output, shape (N, num_dims); None is the base policy.
            noise: Initial noise of the flow, shape (N, horizon, action_dim); None follows the policy's setting.

        Returns:
            Actions in the environment's units, shape (N, horizon, action_dim).
        """

    def metrics(self, u: Tensor) -> dict[str, Tensor]:
        """Scalars worth logging about a batch of outputs.

        Args:
            u: The learner's outputs, shape (N, num_dims).

        Returns:
            Named scalar tensors.
        """
        return {}
