# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""MetaWorld's worlds, step, horizon and success."""

from __future__ import annotations

from typing import Annotated, Any

from zprl.sim.gymnasium.worlds_cfg import WorldsCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import OneOf


@configclass
class SawyerWorldsCfg(WorldsCfg):
    """Worlds of MetaWorld, whose policies see the goal."""

    make = "zprl.tasks.benchmarks.config.sawyer.worlds:make_world"
    packages = ("metaworld",)
    extra = "benchmarks"
    robot = "sawyer"
    step_dt = 0.0125
    max_episode_length = 500
    tracked_terms = ("hand_pos",)

    task: Annotated[str, OneOf("box-close", "push-wall")] = "box-close"
    """What the arm is to do."""

    reward: Annotated[str, OneOf("sparse", "dense")] = "sparse"
    """1 for a success, or a tenth of MetaWorld's own reward, which is 10 in every step of it."""

    def arguments(self) -> dict[str, Any]:
        """See :meth:`WorldsCfg.arguments`."""
        return {"task": self.task, "reward": self.reward}


@configclass
class BoxCloseWorldsCfg(SawyerWorldsCfg):
    """A lid is put on a box."""


@configclass
class PushWallWorldsCfg(SawyerWorldsCfg):
    """A puck is brought around a wall to its goal."""

    task = "push-wall"
