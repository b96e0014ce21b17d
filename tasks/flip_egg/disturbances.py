# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The stress tests that the paper puts its real egg to, as far as they are published."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isaaclab.managers import EventTermCfg, SceneEntityCfg

from zprl.robustness.disturbances import Disturbance, Draws, KickOrShift, Signal
from zprl.robustness.disturbed_worlds import WorldChange
from zprl.sim.isaaclab.randomization import randomized_friction
from zprl.spec import TaskSpec
from zprl.tasks.flip_egg.flip_egg_env_cfg import EDGE, EGG_FRICTION
from zprl.utils.errors import ZprlError


@dataclass(frozen=True)
class OtherSize(Disturbance):
    """Another egg, the same in all episodes: wider or less wide, as thick and as heavy."""

    change: float = 0.2
    """By how much of the usual edge length the egg is wider, or less wide."""

    wider: bool = False
    """Which of the two."""

    def configure(self, env_cfg: Any) -> None:
        """See :meth:`zprl.robustness.disturbances.Disturbance.configure`.

        Raises:
            ZprlError: If such an egg cannot be, or does not fit into the pan.
        """
        if not self.change <= 0.5:
            raise ZprlError(f"an egg whose edge differs by {self.change:g} of the usual is none; choose 0.5 or less.")
        size = 1.0 + (self.change if self.wider else -self.change)
        env_cfg.scene.object.spawn.usd_path = str(_egg_of(size))
        for term in (env_cfg.rewards.success, env_cfg.terminations.success):
            term.params["size"] = size * EDGE

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`zprl.robustness.disturbances.Disturbance.start`."""
        return Signal()


@dataclass(frozen=True)
class OtherFriction(WorldChange):
    """Other eggs: their friction is drawn for each episode, uniformly."""

    scale: float = 1.0
    """Factor on the distances of the range's ends from the egg that the policy knows."""

    coefficient: tuple[float, float] = (0.25, 0.6)
    """Range of the coefficient of sliding friction; where another thing's is larger, that counts."""

    def events(self, targets: Any) -> dict[str, EventTermCfg]:
        """See :meth:`zprl.robustness.disturbed_worlds.WorldChange.events`."""
        low, high = (max(EGG_FRICTION + self.scale * (bound - EGG_FRICTION), 0.0) for bound in self.coefficient)
        return {"egg_friction": randomized_friction(SceneEntityCfg("object"), (low, high))}


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="zprl_eggs_")


@functools.cache
def _egg_of(size: float) -> Path:
    """Return a file with an egg that is so many times as wide as usual; it is there until the process ends."""
    from zprl.tasks.flip_egg.egg_usd import write_egg  # which imports OpenUSD

    return write_egg(Path(_folder().name) / f"egg_{size:g}.usda", size)


DISTURBANCES: dict[str, Disturbance] = {
    "disturbance": KickOrShift(),
    "small_egg": OtherSize(),
    "large_egg": OtherSize(0.25, wider=True),
    "friction_variation": OtherFriction(),
}
"""What the task brings along."""
