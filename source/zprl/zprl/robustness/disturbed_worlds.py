# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Worlds that are not as the simulator's: masses, frictions and gains by Isaac Lab's event terms, and other engines."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from isaaclab.managers import EventTermCfg, SceneEntityCfg

from zprl.robustness.disturbances import Disturbance, Draws, Signal, Undisturbed
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnvCfg

    from zprl.envs import EnvLayout

EVENT_MODE = "disturbance"
"""Mode of the event terms that change a world before its episode."""


@dataclass(frozen=True)
class WorldChange(Disturbance):
    """A property of the world that is drawn anew for each episode, by an event term of Isaac Lab."""

    def start(self, draws: Draws, layout: EnvLayout) -> Signal:
        """See :meth:`Disturbance.start`; the event terms have been applied before."""
        return Signal()

    def configure(self, env_cfg: ManagerBasedRLEnvCfg) -> None:
        """See :meth:`Disturbance.configure`."""
        for name, (function, params) in self.events().items():
            from isaaclab.envs import mdp

            if params["asset_cfg"].name not in vars(env_cfg.scene):
                raise ZprlError(f"the task has no {params['asset_cfg'].name} whose properties could be disturbed.")
            term = EventTermCfg(func=getattr(mdp, function), mode=EVENT_MODE, params=params)
            setattr(env_cfg.events, f"disturb_{name}", term)

    @abstractmethod
    def events(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return the event terms of ``isaaclab.envs.mdp`` by name, with their parameters."""


@dataclass(frozen=True)
class ObjectMass(WorldChange):
    """The object's mass is up to ``factor`` times larger or smaller, log-uniformly."""

    factor: float = 3.0
    """Largest factor, at least 1."""

    def events(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """See :meth:`WorldChange.events`."""
        params = {
            "asset_cfg": SceneEntityCfg("object"),
            "mass_distribution_params": (1.0 / _at_least_one(self, self.factor), self.factor),
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

    fingers: str = "panda_.*finger"
    """Bodies of the robot that grip, as a regular expression."""

    def events(self) -> dict[str, tuple[str, dict[str, Any]]]:
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
        return {
            "object_friction": (function, {"asset_cfg": SceneEntityCfg("object"), **params}),
            "finger_friction": (function, {"asset_cfg": SceneEntityCfg("robot", body_names=self.fingers), **params}),
        }


@dataclass(frozen=True)
class Gains(WorldChange):
    """Stiffness and damping of the robot's drives are off by up to a factor, log-uniformly and joint by joint."""

    factor: float = 1.5
    """Largest factor, at least 1."""

    joints: str = "panda_joint.*"
    """Joints of the robot, as a regular expression."""

    def events(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """See :meth:`WorldChange.events`."""
        bounds = (1.0 / _at_least_one(self, self.factor), self.factor)
        params = {
            "asset_cfg": SceneEntityCfg("robot", joint_names=self.joints),
            "stiffness_distribution_params": bounds,
            "damping_distribution_params": bounds,
            "operation": "scale",
            "distribution": "log_uniform",
        }
        return {"gains": ("randomize_actuator_gains", params)}


@dataclass(frozen=True)
class OvPhysX(Undisturbed):
    """PhysX, another engine altogether, instead of MuJoCo."""

    physics: ClassVar[str | None] = "ovphysx"


@dataclass(frozen=True)
class MuJoCoWarp(Undisturbed):
    """MuJoCo-Warp, whose contacts differ from MuJoCo's own."""

    physics: ClassVar[str | None] = "newton_mjwarp"


def _at_least_one(disturbance: Disturbance, value: float) -> float:
    if value < 1.0:
        raise ZprlError(f"the factor {value} of {type(disturbance).__name__} is below 1; 1 changes nothing.")
    return value
