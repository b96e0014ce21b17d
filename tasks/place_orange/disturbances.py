# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The stress tests that the paper puts its real juicing task to, as far as they are published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isaaclab.managers import EventTermCfg, SceneEntityCfg

from zprl.robustness.disturbances import Disturbance, KickOrShift
from zprl.robustness.disturbed_worlds import WorldChange
from zprl.sim.isaaclab.mujoco import MujocoSolverCfg
from zprl.sim.isaaclab.randomization import randomized_mass, randomized_radius
from zprl.tasks import mdp
from zprl.tasks.place_orange.place_orange_env_cfg import MASS, RADIUS
from zprl.utils.errors import ZprlError


@dataclass(frozen=True)
class ModelVariation(WorldChange):
    """Other oranges: radius and mass are drawn for each episode, uniformly.

    The noiseless expert puts 238 of 256 of them into the cup, where those below 0.034 m have room to lie off its axis.
    """

    scale: float = 1.0
    """Factor on the distances of both ranges' ends from the orange that the policy knows."""

    radius: tuple[float, float] = (0.030, 0.040)
    """Range of the radius [m]; the hand, which opens to 0.08 m, cannot grasp larger ones."""

    mass: tuple[float, float] = (0.08, 0.25)
    """Range of the mass [kg]."""

    def configure(self, env_cfg: Any) -> None:
        """See :meth:`zprl.robustness.disturbances.Disturbance.configure`.

        Raises:
            ZprlError: If the engine takes no other radii.
        """
        if not isinstance(getattr(env_cfg.sim.physics, "solver_cfg", None), MujocoSolverCfg):
            raise ZprlError("oranges of other radii need physics=mujoco, on the CPU; choose it or another disturbance.")
        super().configure(env_cfg)
        env_cfg.events.reset_object = EventTermCfg(
            func=mdp.reset_sphere_in, mode="reset", params={"frame_cfg": SceneEntityCfg("dish")}
        )

    def events(self, targets: Any) -> dict[str, EventTermCfg]:
        """See :meth:`zprl.robustness.disturbed_worlds.WorldChange.events`."""
        mass = randomized_mass(SceneEntityCfg("object"), self._scaled(self.mass, MASS))
        mass.params |= {"operation": "abs", "distribution": "uniform"}
        radius = randomized_radius(SceneEntityCfg("object"), self._scaled(self.radius, RADIUS))
        return {"mass": mass, "radius": radius}  # in this order: the inertia follows from both

    def _scaled(self, bounds: tuple[float, float], usual: float) -> tuple[float, float]:
        low, high = (usual + self.scale * (bound - usual) for bound in bounds)
        return low, high


DISTURBANCES: dict[str, Disturbance] = {
    "disturbance": KickOrShift(fixture="juicer"),
    "model_variation": ModelVariation(),
}
"""What the task brings along, by the names under which the paper has them."""
