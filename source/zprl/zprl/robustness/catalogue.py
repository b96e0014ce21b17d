# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The disturbances by name: those of all tasks, and those that a task brings along."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping

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
from zprl.utils.errors import ZprlError, one_sentence

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
"""What a comparison runs if no names are given, beside what the task brings along."""

ENTRY_POINT = "disturbances_entry_point"
"""Registry key of the disturbances that a task brings along: "module:NAME" of a dictionary by names."""


def disturbances_of(task: str) -> dict[str, Disturbance]:
    """Return the disturbances that a registered task brings along, by names.

    Raises:
        ZprlError: If they cannot be found, or one has the name of another task's or is none.
    """
    import gymnasium

    place = gymnasium.spec(task).kwargs.get(ENTRY_POINT) if task in gymnasium.registry else None
    if place is None:
        return {}
    module, _, name = place.partition(":")
    try:
        own = dict(getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ZprlError(
            f"the disturbances of task {task} are '{place}', which cannot be found: {one_sentence(error)}"
        ) from error
    for name, disturbance in own.items():
        if name in DISTURBANCES or not isinstance(disturbance, Disturbance):
            what = "has the name of one of all tasks" if name in DISTURBANCES else "is no zprl.robustness.Disturbance"
            raise ZprlError(f"the disturbance {name!r} of task {task} {what}; rename or repair it in '{place}'.")
    return own


def parse_disturbances(text: str | None, own: Mapping[str, Disturbance] | None = None) -> dict[str, Disturbance]:
    """Return the disturbances of a list such as "action_delay=2,friction", the reference first.

    Args:
        text: The list, or None for :data:`DEFAULT_NAMES` and all of the task's own.
        own: What the task brings along; see :func:`disturbances_of`.

    Raises:
        ZprlError: If a name is unknown or a strength is not a number of its range.
    """
    known = {**DISTURBANCES, **(own or {})}
    if text is None:
        text = ",".join([DEFAULT_NAMES, *(own or {})])
    chosen = {REFERENCE: known[REFERENCE]}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = item.partition("=")
        if name not in known:
            raise ZprlError(f"disturbance {name!r} is unknown; choose from {', '.join(known)}.")
        disturbance = known[name]
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
