# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The interface between a learner and a frozen base policy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zprl.utils.configclass import configclass
from zprl.utils.registry import resolve_class

if TYPE_CHECKING:
    from zprl.policies import PolicyStep


@configclass
class SteeringCfg:
    """Settings of a steering interface."""

    class_type: str = MISSING  # type: ignore[assignment]
    """Subclass of :class:`Steering` that is made of these settings, as "module:Class"."""


class Steering(ABC):
    """Turns a learner's output into the action chunk that is executed.

    A learner sees the observation and :meth:`features`, and outputs ``u``. Every implementation that steers a base
    policy keeps one promise: ``u = 0`` executes exactly what the base policy would.
    """

    num_dims: int
    """Length of ``u``."""

    closed_loop: bool = False
    """Whether the learner acts in every environment step, instead of once per chunk. Plans are one action long then,
    but for the base policy's."""

    critic_features: tuple[str, ...] = ()
    """Names of the :meth:`features` that :meth:`critic_action` reads."""

    rows_are_independent: bool = True
    """Whether a row of a plan is the same to the last bit whatever rows are beside it. The native policy step is so on
    a CPU; torch's matrix products are not."""

    @classmethod
    def make(cls, cfg: Any, step: PolicyStep, policy_meta: Mapping[str, Any]) -> Steering:
        """Return the steering of some settings.

        Args:
            cfg: Settings.
            step: The frozen base policy's step.
            policy_meta: What was saved with the base policy; holds ``latent_statistics``.
        """
        return cls(cfg, step)  # type: ignore[call-arg]

    @abstractmethod
    def features(self, obs: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """What the learner sees beside the observation.

        Args:
            obs: Raw observations, shape (N, obs_dim).
            noise: Initial noise of the flow that :meth:`plan` will get.

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

    def begin_episodes(self, worlds: Tensor | None = None) -> None:  # noqa: B027 - most interfaces remember nothing
        """Forget what was planned in episodes that are over.

        Args:
            worlds: Which worlds begin an episode with the next observation, shape (N,), bool; None for all.
        """

    def critic_action(self, seen: Mapping[str, Tensor], u: Tensor) -> Tensor:
        """What a critic of state and action is told of an output; gradients reach ``u``.

        It is what ``u`` changes, after the change: the perturbed latent, not the residual, since the sum is what the
        outcome depends on (arXiv 2412.13630 found the same of action residuals).

        Args:
            seen: What the learner saw: ``policy`` and the :meth:`features`, shape (N, ...).
            u: The learner's outputs, shape (N, num_dims).

        Returns:
            Numbers of the order of one, shape (N, ...).
        """
        return u.clamp(-1.0, 1.0)

    def explored(self, u: Tensor, env_steps: int) -> Tensor:
        """Return what is executed of the outputs while learning; an evaluation executes all of them.

        Args:
            u: The learner's outputs, shape (N, num_dims).
            env_steps: Environment steps of the training so far.
        """
        return u

    def model_arguments(self, model: str) -> dict[str, Any]:
        """Return what a model of the learner needs beyond its configuration.

        Args:
            model: "actor" or "critic".
        """
        return {}

    def describe(self) -> str:
        """Say in a few words what the learner changes, and how far."""
        return type(self).__name__

    def sizes(self) -> dict[str, float]:
        """Return the numbers that a result names beside the settings."""
        return {}

    def metrics(self, u: Tensor) -> dict[str, Tensor]:
        """Scalars worth logging about a batch of outputs.

        Args:
            u: The learner's outputs, shape (N, num_dims).

        Returns:
            Named scalar tensors.
        """
        return {}


def make_steering(cfg: SteeringCfg, step: PolicyStep, policy_meta: Mapping[str, Any]) -> Steering:
    """Return the steering that ``cfg.class_type`` names.

    Args:
        cfg: Settings.
        step: The frozen base policy's step.
        policy_meta: What was saved with the base policy; holds ``latent_statistics``.

    Raises:
        ZprlError: If the class does not exist.
    """
    return resolve_class(cfg.class_type).make(cfg, step, policy_meta)  # type: ignore[attr-defined]
