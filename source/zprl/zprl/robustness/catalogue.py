# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The disturbances by name."""

from __future__ import annotations

import math

from zprl.robustness.disturbances import (
    ActionDelay,
    Disturbance,
    DroppedObservations,
    ObjectPoseError,
    ObjectPush,
    ObservationBias,
    ObservationDelay,
    ObservationNoise,
    Undisturbed,
)
from zprl.robustness.disturbed_worlds import Friction, Gains, MuJoCoWarp, ObjectMass, OvPhysX
from zprl.utils.errors import ZprlError

REFERENCE = "none"
"""Name of the undisturbed world, which every table starts with."""

DISTURBANCES: dict[str, Disturbance] = {
    REFERENCE: Undisturbed(),
    "observation_noise": ObservationNoise(),
    "observation_bias": ObservationBias(),
    "observation_delay": ObservationDelay(),
    "dropped_observations": DroppedObservations(),
    "action_delay": ActionDelay(),
    "object_pose_error": ObjectPoseError(),
    "object_push": ObjectPush(),
    "object_mass": ObjectMass(),
    "friction": Friction(),
    "gains": Gains(),
    "physx": OvPhysX(),
    "mujoco_warp": MuJoCoWarp(),
}
"""Disturbances by name, with their default strengths. Under those of mass, friction and gains the lift task's noiseless
expert succeeds in 98 of 100 episodes or more; what is beyond that tells of the robot and not of the policy."""

DEFAULT_NAMES = (
    "observation_noise,observation_bias,observation_delay=1,observation_delay=2,observation_delay=3,"
    "dropped_observations,action_delay=1,action_delay=2,action_delay=3,object_pose_error,object_push,object_mass,"
    "friction,gains=1.5,gains=2,physx"
)
"""What a comparison runs if no names are given."""


def parse_disturbances(text: str) -> dict[str, Disturbance]:
    """Return the disturbances of a list such as "action_delay=2,friction", the reference first.

    Raises:
        ZprlError: If a name is unknown or a strength is not a number of its range.
    """
    chosen = {REFERENCE: DISTURBANCES[REFERENCE]}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = item.partition("=")
        if name not in DISTURBANCES:
            raise ZprlError(f"disturbance {name!r} is unknown; choose from {', '.join(DISTURBANCES)}.")
        disturbance = DISTURBANCES[name]
        if separator:
            try:
                strength = float(value)
            except ValueError:
                strength = math.nan
            if not 0.0 <= strength < math.inf:
                raise ZprlError(f"the strength {value!r} of {name} is no number that is 0 or more.")
            disturbance = disturbance.with_strength(strength)
        chosen[item] = disturbance
    return chosen
