# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a task whose worlds are Gymnasium environments says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, PositiveFloat, PositiveInt, Seed

if TYPE_CHECKING:
    import gymnasium

CFG_ENTRY_POINT = "worlds_cfg_entry_point"
"""Registry key of a task's :class:`WorldsCfg`, which makes it one of Gymnasium's."""


@configclass
class SceneCfg:
    """The worlds, under the name that they have in Isaac Lab's tasks."""

    num_envs: PositiveInt = 32
    """Number of worlds."""


@configclass
class WorldsCfg:
    """Worlds of a task, each a ``gymnasium.Env``, divided among processes.

    A world's observations are boxes, alone or in a Dict of groups; see :class:`zprl.sim.gymnasium.GymnasiumEnv`. Its
    ``info["success"]`` says whether the episode has succeeded so far. If it has an attribute ``idle_action``, that is
    what keeps its robots as they are.
    """

    scene: SceneCfg = SceneCfg()

    seed: Seed = 0
    """Seed of the worlds; the run's."""

    workers: PositiveInt | None = None
    """Processes that the worlds are divided among; None for one per core. Results do not depend on it."""

    make: Name = MISSING  # type: ignore[assignment]
    """What makes a world, as "module:function"; it is called with :meth:`arguments`."""

    packages: tuple[Name, ...] = ()
    """Packages of others that it needs."""

    extra: str = ""
    """Extra of this project that installs them."""

    robot: str = "-"
    """What acts, for the list of tasks."""

    step_dt: PositiveFloat = MISSING  # type: ignore[assignment]
    """Control period [s]."""

    max_episode_length: PositiveInt = MISSING  # type: ignore[assignment]
    """Longest episode [control steps]."""

    tracked_terms: tuple[Name, ...] = ()
    """Observed positions whose smoothness is measured; see :class:`zprl.spec.TaskSpec`."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of what makes a world, by name."""
        return {}


MakeWorld = Callable[..., "gymnasium.Env"]
"""What makes a world."""
