# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The joints by which the Adroit hand's forearm moves, for its file and for what commands it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArmJoint:
    """A joint by which the forearm moves.

    Attributes:
        name: Joint name.
        kind: "revolute" or "prismatic".
        axis: Axis of the forearm's frame.
        limits: Lower and upper limit [rad] or [m].
    """

    name: str
    kind: str
    axis: str
    limits: tuple[float, float]


ARMS: dict[str, tuple[ArmJoint, ...]] = {
    "fixed": (),
    "two_axes": (ArmJoint("ARRx", "revolute", "X", (-0.4, 0.25)), ArmJoint("ARRy", "revolute", "Y", (-0.3, 0.3))),
    "four_axes": (
        ArmJoint("ARTz", "prismatic", "Z", (-0.3, 0.5)),
        ArmJoint("ARRx", "revolute", "X", (-0.75, 0.75)),
        ArmJoint("ARRy", "revolute", "Y", (-0.75, 0.75)),
        ArmJoint("ARRz", "revolute", "Z", (-1.0, 2.0)),
    ),
}
"""The arm's joints, shoulder first: for a pen (a forearm that stands still), a hammer and a door."""
