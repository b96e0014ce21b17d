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
    from isaaclab.managers import SceneEntityCfg

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
        from isaaclab.envs import mdp
        from isaaclab.managers import EventTermCfg

        targets = getattr(env_cfg, "disturbance_targets", None)
        if targets is None:
            raise ZprlError(
                "the task does not say what of it can be disturbed; derive its configuration from "
                "zprl.tasks.common.TaskEnvCfg."
            )
        for name, (function, params) in self.events(targets).items():
            if params["asset_cfg"].name not in vars(env_cfg.scene):
                raise ZprlError(f"the task has no {params['asset_cfg'].name} whose properties could be disturbed.")
            term = EventTermCfg(func=getattr(mdp, function), mode=EVENT_MODE, params=params)
            setattr(env_cfg.events, f"disturb_{name}", term)

    @abstractmethod
    def events(self, targets: Any) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return the event terms of ``isaaclab.envs.mdp`` by name, with their parameters.

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

    def events(self, targets: Any) -> dict[str, tuple[str, dict[str, Any]]]:
        """See :meth:`WorldChange.events`."""
        params = {
            "asset_cfg": _object(targets),
            "mass_distribution_params": (1.0 / self.factor, self.factor),
            "operation": "scale",
            "distribution": "log_uniform",
            "min_mass": 1e-3,
        }
        return {"mass": ("randomize_rigid_body_mass", params)}


@dataclass(frozen=True)
class Friction(WorldChange):
    """Fingers and object have less friction."""

    coefficient: float = 0.5
    """Smallest friction coefficient; the largest is twice that."""

    def events(self, targets: Any) -> dict[str, tuple[str, dict[str, Any]]]:
        """See :meth:`WorldChange.events`."""
        friction = (self.coefficient, 2.0 * self.coefficient)
        params = {
            "static_friction_range": friction,
            "dynamic_friction_range": friction,
            "restitution_range": (0.0, 0.0),
            "num_buckets": 64,
            "make_consistent": True,
        }
        function = "randomize_rigid_body_material"
        events = {"object_friction": (function, {"asset_cfg": _object(targets), **params})}
        for asset, bodies in _required(targets.fingers, "fingers").items():
            entity = _entity(asset, body_names=list(bodies))
            events[f"{asset}_finger_friction"] = (function, {"asset_cfg": entity, **params})
        return events


@dataclass(frozen=True)
class Gains(WorldChange):
    """Stiffness and damping of the arms' drives are off by up to a factor, log-uniformly and joint by joint."""

    factor: float = 1.5
    """Largest factor, at least 1."""

    def __post_init__(self) -> None:
        _check_factor(self, self.factor)

    def events(self, targets: Any) -> dict[str, tuple[str, dict[str, Any]]]:
        """See :meth:`WorldChange.events`."""
        bounds = (1.0 / self.factor, self.factor)
        params = {
            "stiffness_distribution_params": bounds,
            "damping_distribution_params": bounds,
            "operation": "scale",
            "distribution": "log_uniform",
        }
        return {
            f"{asset}_gains": (
                "randomize_actuator_gains",
                {"asset_cfg": _entity(asset, joint_names=list(joints)), **params},
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
