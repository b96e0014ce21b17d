# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The place-orange task with a Franka Panda."""

from __future__ import annotations

from isaaclab.utils import configclass

from zprl.tasks.common import VisualTabletop
from zprl.tasks.place_orange.place_orange_env_cfg import PlaceOrangeEnvCfg
from zprl.tasks.robots.franka_panda import FRANKA_PANDA


@configclass
class FrankaPlaceOrangeEnvCfg(PlaceOrangeEnvCfg):
    """A Franka Panda puts an orange into a juicer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(FRANKA_PANDA)


@configclass
class FrankaPlaceOrangeVisualEnvCfg(VisualTabletop, FrankaPlaceOrangeEnvCfg):
    """A Franka Panda puts an orange that it sees into a juicer."""
