# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the Adroit hand is and how far its joints go, for whatever simulates it."""

from __future__ import annotations

SHOULDER = (0.0, -0.7, 0.2)
"""Where the forearm's joints are [m]."""

GRASP_CENTER = (0.007, -0.05, 0.07)
"""The middle of what the fingers close around, in the palm's frame [m]."""


def _finger(name: str) -> dict[str, tuple[float, float]]:
    """Return the ranges of a finger's joints [rad]: sideways, then three that bend it."""
    return {f"{name}J3": (-0.436, 0.436), **{f"{name}J{number}": (0.0, 1.571) for number in (2, 1, 0)}}


HAND_RANGES: dict[str, tuple[float, float]] = {
    "WRJ1": (-0.524, 0.175),
    "WRJ0": (-0.785, 0.611),
    **_finger("FF"),
    **_finger("MF"),
    **_finger("RF"),
    "LFJ4": (0.0, 0.698),
    **_finger("LF"),
    "THJ4": (-1.047, 1.047),
    "THJ3": (0.0, 1.309),
    "THJ2": (-0.262, 0.262),
    "THJ1": (-0.524, 0.524),
    "THJ0": (-1.571, 0.0),
}
"""Range of each joint of the hand [rad], in the order of the benchmark's actions."""
