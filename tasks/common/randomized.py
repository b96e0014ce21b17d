# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Physics that is drawn anew at every reset, as presets of a task's events."""

from __future__ import annotations

import copy
from dataclasses import MISSING, dataclass
from typing import Any

from isaaclab.managers import SceneEntityCfg
from isaaclab_tasks.utils import preset

from zprl.sim.isaaclab.randomization import randomized_friction, randomized_gains, randomized_mass

Range = tuple[float, float]


@dataclass(frozen=True)
class PhysicsRanges:
    """Ranges that physics is drawn from.

    Attributes:
        mass: Factor of the thing's mass.
        friction: Its coefficient of sliding friction.
        fingers: That of the bodies that grasp.
        gains: Factor of the gains of the joints that move them.
    """

    mass: Range
    friction: Range
    fingers: Range
    gains: Range


def randomized_physics(events: Any, thing: SceneEntityCfg, train: PhysicsRanges, heavy: PhysicsRanges) -> Any:
    """Return events as presets, chosen by ``presets=randomize_train``; by default only initial states are drawn.

    Args:
        events: The initial states. The terms that are added to them, after them, are completed from the robot.
        thing: What the robot holds or moves.
        train: What a real thing and a real robot may be, ``randomize_train``.
        heavy: Beyond what a robot should meet, ``randomize_heavy``.
    """

    def drawing(ranges: PhysicsRanges) -> Any:
        cfg = copy.deepcopy(events)
        cfg.object_mass = randomized_mass(copy.deepcopy(thing), ranges.mass)
        # The pads' parameters rule their contacts with the object, and the object's those with the table.
        cfg.object_friction = randomized_friction(copy.deepcopy(thing), ranges.friction)
        cfg.finger_friction = randomized_friction(MISSING, ranges.fingers)
        cfg.arm_gains = randomized_gains(MISSING, ranges.gains)
        return cfg

    return preset(
        default=events,
        randomize_none=copy.deepcopy(events),
        randomize_train=drawing(train),
        randomize_heavy=drawing(heavy),
    )
