# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The benchmark's worlds, step, horizon and count of success."""

from __future__ import annotations

from typing import Annotated, Any

from zprl.sim.gymnasium.worlds_cfg import WorldsCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import OneOf, PositiveFloat, PositiveInt


@configclass
class HandWorldsCfg(WorldsCfg):
    """Worlds of gymnasium-robotics with a hand."""

    make = "zprl.tasks.benchmarks.config.adroit.worlds:make_world"
    packages = ("gymnasium_robotics",)
    extra = "benchmarks"
    robot = "adroit"
    step_dt = 0.01
    max_episode_length = 200
    tracked_terms = ("palm_pos",)

    task: Annotated[str, OneOf("door", "hammer", "pen")] = "door"
    """What the hand is to do."""

    reward: Annotated[str, OneOf("sparse", "dense")] = "sparse"
    """The benchmark's own reward: "sparse" is 10 for a step at the goal and -0.1 for any other."""

    reward_scale: PositiveFloat = 0.001
    """What it is multiplied by: 0.001 makes 1 of a second at the goal."""

    steps_at_goal: PositiveInt = 26
    """Steps at the goal that make an episode a success: "more than 25", as the benchmark's authors count."""

    def arguments(self) -> dict[str, Any]:
        """See :meth:`WorldsCfg.arguments`."""
        return {name: getattr(self, name) for name in ("task", "reward", "reward_scale", "steps_at_goal")}


@configclass
class DoorWorldsCfg(HandWorldsCfg):
    """A latch is turned and a door pulled open."""


@configclass
class HammerWorldsCfg(HandWorldsCfg):
    """A hammer is lifted and a nail driven into a board."""

    task = "hammer"


@configclass
class PenWorldsCfg(HandWorldsCfg):
    """A pen is turned in the hand."""

    task = "pen"
    tracked_terms = ("pen_pos",)
    """The palm stands still."""
    steps_at_goal = 21
    """Of a pen "more than 20"."""
