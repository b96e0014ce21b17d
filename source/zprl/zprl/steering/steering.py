# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The interface between a learner and a frozen base policy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any

from tensordict import TensorDict
from torch import Tensor

from zprl.policies.base import BasePolicy, Plan
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name
from zprl.utils.modules import rms
from zprl.utils.registry import resolve_class

PLAN_FEATURES = ("latent", "embedding")
"""What of a plan a learner can see by these names, whatever it changes, if the base policy has it."""


@configclass
class SteeringCfg:
    """Settings of a steering interface."""

    class_type: Name = MISSING  # type: ignore[assignment]
    """Subclass of :class:`Steering` that is made of these settings, as "module:Class"."""


@dataclass(frozen=True)
class CriticAction:
    """What a critic of state and action is told of an output u: ``(seen[feature] + gain * clamp(u, -1, 1)) / unit``.

    It is what ``u`` changes, after the change: the perturbed latent, not the residual, since the sum is what the
    outcome depends on (arXiv 2412.13630 found the same of action residuals).
    """

    feature: str | None = None
    """Feature (N, num_dims) of a steering that ``u`` is added to, or None for zero."""

    gain: float = 1.0
    """What ``u`` is a multiple of."""

    unit: float = 1.0
    """What makes the sum numbers of the order of one."""

    def __call__(self, seen: Mapping[str, Tensor], u: Tensor) -> Tensor:
        """Return it (N, num_dims); gradients reach ``u``.

        Args:
            seen: What the learner saw; see :meth:`Steering.observe`.
            u: The learner's outputs (N, num_dims).
        """
        change = self.gain * u.clamp(-1.0, 1.0)
        return (change if self.feature is None else seen[self.feature] + change) / self.unit


class Steering(ABC):
    """Turns a learner's output into a change of what a base policy's plan holds.

    A learner sees observations and :meth:`features`, and outputs ``u``. Every implementation that steers a base policy
    keeps one promise: ``u = 0`` executes exactly what the base policy would.

    Args:
        cfg: Settings.
        base: The frozen base policy.

    Raises:
        ZprlError: If the base policy lacks the knob.
    """

    knob: str | None = None
    """What of the base policy it changes; see :attr:`BasePolicy.knobs`. None if it changes nothing."""

    policy: BasePolicy
    """The policy whose plans it changes: the base policy, or a form of it."""

    num_dims: int
    """Length of ``u``."""

    closed_loop: bool = False
    """Whether the learner acts in every environment step, in chunks of one action, instead of once per chunk."""

    critic_action: CriticAction = CriticAction()
    """What a critic of state and action is told of an output."""

    def __init__(self, cfg: Any, base: BasePolicy) -> None:
        self.cfg = cfg
        self.base = base
        """The frozen base policy."""
        self.policy = base
        if self.knob is not None:
            base.require_knob(self.knob, type(self).__name__)

    @property
    def execute_steps(self) -> int:
        """Number of actions that are executed of each chunk."""
        return 1 if self.closed_loop else self.policy.execute_steps

    def features(self, plan: Plan) -> dict[str, Tensor]:
        """What the learner sees beside observations: named tensors (N, ...), float32; nothing by default."""
        return {}

    def shows(self, name: str) -> bool:
        """Return whether a name is that of one of :data:`PLAN_FEATURES` that the base policy has."""
        return name in PLAN_FEATURES and name in self.base.knobs

    @abstractmethod
    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """Change a plan.

        Args:
            plan: The plan, of :attr:`policy`.
            u: The learner's outputs (N, num_dims).

        Returns:
            What takes the place of what the plan holds, as arguments of :meth:`BasePolicy.act`.
        """

    def act(self, plan: Plan, u: Tensor | None = None) -> Tensor:
        """Return the chunk (N, T, A) of a plan, steered by ``u`` (N, num_dims); with None, the policy's own."""
        return self.policy.act(plan, **({} if u is None else self.apply(plan, u)))

    def observe(self, plan: Plan, groups: Iterable[str]) -> TensorDict:
        """Return what the learner sees: observation groups and parts of the plan by their names, and the features.

        Args:
            plan: The plan.
            groups: Names of the observation groups and of :data:`PLAN_FEATURES`; those of features may be among them.
        """
        features = self.features(plan)
        seen = {
            name: getattr(plan, name).float() if self.shows(name) else plan.obs[name]
            for name in groups
            if name not in features
        }
        device = next(iter(plan.obs.values())).device
        return TensorDict({**seen, **features}, batch_size=[plan.batch_size], device=device)

    def explored(self, u: Tensor, env_steps: int) -> Tensor:
        """Return what is executed of the outputs while learning; an evaluation executes all of them.

        Args:
            u: The learner's outputs (N, num_dims).
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
        """Return scalars worth logging about a batch of outputs (N, num_dims), by name."""
        return {}


class BoundedSteering(Steering):
    """Steers by ``residual_scale * u``, with u clipped to [-1, 1].

    Args:
        cfg: Settings, with a ``scale``.
        base: The frozen base policy.
        unit: What the scale is a multiple of.
    """

    rms_metric = "Steering/rms_residual"
    """Name of the residual's root mean square among the :meth:`metrics`."""

    def __init__(self, cfg: Any, base: BasePolicy, unit: float = 1.0) -> None:
        super().__init__(cfg, base)
        self.scale: float = cfg.scale
        self.residual_scale = self.scale * unit
        """Lambda [dimensionless]."""

    def residual(self, u: Tensor) -> Tensor:
        """What an output is, in units of what it changes."""
        return self.residual_scale * u.clamp(-1.0, 1.0)

    def metrics(self, u: Tensor) -> dict[str, Tensor]:
        """Return the RMS of the residual, in units of what it changes."""
        return {self.rms_metric: self.residual_scale * rms(u.clamp(-1.0, 1.0))}


class KnobResidual(BoundedSteering):
    """x' = x + lambda * u, with u in [-1, 1] for each number of a knob x, and lambda a multiple of RMS(x).

    Args:
        cfg: Settings, whose ``scale`` is lambda / RMS(x).
        base: The frozen base policy.
    """

    knob: str

    def __init__(self, cfg: Any, base: BasePolicy) -> None:
        knob = base.require_knob(self.knob, type(self).__name__)
        super().__init__(cfg, base, knob.rms)
        self.num_dims = knob.width
        self.rms = knob.rms
        """RMS(x) over the demonstrations [dimensionless]."""
        self.critic_action = CriticAction(self.knob, self.residual_scale, self.rms)

    def features(self, plan: Plan) -> dict[str, Tensor]:
        """Return the knob's value x (N, num_dims) by its name."""
        return {self.knob: getattr(plan, self.knob).float()}

    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """See :meth:`Steering.apply`; ``u`` is clipped to [-1, 1]."""
        x: Tensor = getattr(plan, self.knob)
        return {self.knob: x + self.residual(u).to(x.dtype)}

    def sizes(self) -> dict[str, float]:
        """Return lambda and RMS(x)."""
        return {"residual_scale": self.residual_scale, f"{self.knob}_rms": self.rms}

    def metrics(self, u: Tensor) -> dict[str, Tensor]:
        """Return RMS(lambda u) and its ratio to RMS(x)."""
        metrics = super().metrics(u)
        return metrics | {"Steering/residual_ratio": metrics[self.rms_metric] / self.rms}


def make_steering(cfg: SteeringCfg, base: BasePolicy) -> Steering:
    """Return the steering that ``cfg.class_type`` names.

    Raises:
        ZprlError: If the class does not exist, or the base policy lacks what it steers by.
    """
    return resolve_class(cfg.class_type, "steering")(cfg, base)
