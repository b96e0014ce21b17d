# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a task's numbers mean to whoever feeds a real robot, as far as its environment knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TermDescription:
    """What the elements of an observation or action term mean.

    Attributes:
        elements: Name of each element.
        units: Unit of each element, "1" for none; of an action, the unit of ``offset + scale * action``.
        frame: Frame that the term is measured in, or None if it has none.
        text: The term in words.
        scale: Of an action, the factor to the unit, by element; None for an observation.
        repeats: Of an action, whether the value sent last, and not the idle value, keeps a robot where it is.
        offset: Of an action, what an action of 0 is in that unit, by element; None for zeros.
    """

    elements: list[str]
    units: list[str]
    frame: str | None
    text: str
    scale: list[float] | None = None
    repeats: bool = False
    offset: list[float] | None = None


@dataclass(frozen=True)
class JointDescription:
    """A joint of the robot.

    Attributes:
        name: Name of the joint.
        unit: Unit of its position, "rad" or "m"; None if unknown.
        default: Position in the default posture.
        low: Lower limit of its position.
        high: Upper limit of its position.
        stiffness: Proportional gain of its drive [N m/rad or N/m].
        damping: Derivative gain of its drive [N m s/rad or N s/m].
        effort_limit: Largest effort of its drive [N m or N].
    """

    name: str
    unit: str | None
    default: float
    low: float
    high: float
    stiffness: float
    damping: float
    effort_limit: float


@dataclass(frozen=True)
class CameraDescription:
    """A camera and what its images hold.

    It is a pinhole: a point (x, y, z) in its frame, in which it looks along -z with +y up, is seen at column
    ``cx - fx x / z`` and row ``cy + fy y / z``. The centre of the first pixel is at 0.5.
    """

    content: str
    """"rgb", red, green and blue in this order; or "depth", the distance along the optical axis [m]."""

    minimum: float
    """Smallest value of a pixel."""

    maximum: float
    """Largest value of a pixel, which depth has as well where nothing is."""

    fx: float
    """Focal length along the rows [px]."""

    fy: float
    """Focal length along the columns [px]."""

    cx: float
    """Column of the optical axis [px]."""

    cy: float
    """Row of the optical axis [px]."""

    body: str | None
    """Body that it rides on, "ARTICULATION/BODY"; null if it is at rest."""

    position: list[float]
    """Where it is in the frame of that body, or else of the world [m]."""

    quaternion: list[float]
    """Its orientation there, (x, y, z, w)."""

    renderer: str
    """What drew the images that the policy was made for."""


@dataclass(frozen=True)
class TaskDescription:
    """What is known of a task beside its spec; nothing by default.

    Attributes:
        observations: Descriptions of observation terms, by group and term.
        actions: Descriptions of action terms, by name.
        joints: Joints of the robot, in the order of joint observations.
        cameras: Cameras, by the observation group of their images.
    """

    observations: Mapping[tuple[str, str], TermDescription] = field(default_factory=dict)
    actions: Mapping[str, TermDescription] = field(default_factory=dict)
    joints: tuple[JointDescription, ...] = ()
    cameras: Mapping[str, CameraDescription] = field(default_factory=dict)


def describe_env(env: object) -> TaskDescription:
    """Return what an environment's method ``describe`` knows of its numbers: nothing where there is none."""
    return getattr(env, "describe", TaskDescription)()
