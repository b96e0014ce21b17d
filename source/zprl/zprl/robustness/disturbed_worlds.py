# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Worlds that are not as the simulator's: masses, frictions and gains by Isaac Lab's event terms, and other engines."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from zprl.robustness.disturbances import Disturbance, Draws, Signal, Undisturbed
from zprl.spec import TaskSpec
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.managers import EventTermCfg, SceneEntityCfg

EVENT_MODE = "disturbance"
"""Mode of the event terms that change a world before its episode."""


@dataclass(frozen=True)
class WorldChange(Disturbance):
    """A property of the world that is drawn anew for each episode, by an event term of Isaac Lab."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`; the event terms have been applied before."""
        return Signal()

    def configure(self, env_cfg: Any) -> None:
        """See :meth:`Disturbance.configure`."""
        targets = getattr(env_cfg, "disturbance_targets", None)
        if targets is None:
            raise ZprlError(
                "the task does not say what of it can be disturbed; derive its configuration from "
                "zprl.tasks.common.TaskEnvCfg."
            )
        for name, term in self.events(targets).items():
            asset = term.params["asset_cfg"].name
            _required(asset in vars(env_cfg.scene), asset)
            term.mode = EVENT_MODE
            setattr(env_cfg.events, f"disturb_{name}", term)

    @abstractmethod
    def events(self, targets: Any) -> dict[str, EventTermCfg]:
        """Return the event terms by name; their mode is set by :meth:`configure`.

        Args:
            targets: The task's ``disturbance_targets``; see ``DisturbanceTargetsCfg`` in :mod:`zprl.tasks.common`.

        Raises:
            ZprlError: If the task lacks what is disturbed.
        """


@dataclass(frozen=True)
class ObjectMass(WorldChange):
    """The object's mass is up to ``factor`` times larger or smaller, log-uniformly."""

    factor: float = 3.0
    """Largest factor, at least 1."""

    def __post_init__(self) -> None:
        _check_factor(self, self.factor)

    def events(self, targets: Any) -> dict[str, EventTermCfg]:
        """See :meth:`WorldChange.events`."""
        from zprl.sim.isaaclab.randomization import randomized_mass

        return {"mass": randomized_mass(_object(targets), (1.0 / self.factor, self.factor))}


@dataclass(frozen=True)
class Friction(WorldChange):
    """Fingers and object have less friction."""

    coefficient: float = 0.5
    """Smallest friction coefficient; the largest is twice that."""

    def events(self, targets: Any) -> dict[str, EventTermCfg]:
        """See :meth:`WorldChange.events`."""
        from zprl.sim.isaaclab.randomization import randomized_friction

        bounds = (self.coefficient, 2.0 * self.coefficient)
        events = {"object_friction": randomized_friction(_object(targets), bounds)}
        for asset, bodies in _required(targets.fingers, "fingers").items():
            fingers = _entity(asset, body_names=list(bodies))
            events[f"{asset}_finger_friction"] = randomized_friction(fingers, bounds)
        return events


@dataclass(frozen=True)
class Gains(WorldChange):
    """Stiffness and damping of the arms' drives are off by up to a factor, log-uniformly and joint by joint."""

    factor: float = 1.5
    """Largest factor, at least 1."""

    def __post_init__(self) -> None:
        _check_factor(self, self.factor)

    def events(self, targets: Any) -> dict[str, EventTermCfg]:
        """See :meth:`WorldChange.events`."""
        from zprl.sim.isaaclab.randomization import randomized_gains

        return {
            f"{asset}_gains": randomized_gains(
                _entity(asset, joint_names=list(joints)), (1.0 / self.factor, self.factor)
            )
            for asset, joints in _required(targets.arm_joints, "arm").items()
        }


@dataclass(frozen=True)
class OvPhysX(Undisturbed):
    """PhysX, another engine altogether, instead of MuJoCo."""

    physics: ClassVar[str | None] = "ovphysx"


@dataclass(frozen=True)
class MuJoCoWarp(Undisturbed):
    """MuJoCo-Warp, whose contacts differ from MuJoCo's own."""

    physics: ClassVar[str | None] = "newton_mjwarp"


def _object(targets: Any) -> SceneEntityCfg:
    return _entity(_required(targets.object_name, "object"))


def _entity(name: str, **parts: Any) -> SceneEntityCfg:
    from isaaclab.managers import SceneEntityCfg

    return SceneEntityCfg(name, **parts)


def _required[T](target: T, what: str) -> T:
    if not target:
        raise ZprlError(f"the task has no {what} whose properties could be disturbed.")
    return target


def _check_factor(disturbance: Disturbance, value: float) -> None:
    if value < 1.0:
        raise ZprlError(f"the factor {value} of {type(disturbance).__name__} is below 1; 1 changes nothing.")
