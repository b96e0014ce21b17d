# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The door task with an Adroit hand."""

from __future__ import annotations

from isaaclab.managers import RewardTermCfg, SceneEntityCfg
from isaaclab.utils import configclass

from zprl.tasks.common.env_cfg import DenseEnv
from zprl.tasks.door.door_env_cfg import HANDLE, OPEN, DoorEnvCfg
from zprl.tasks.door.mdp import door_opening
from zprl.tasks.robots.adroit import GRASP_CENTER, adroit


@configclass
class AdroitDoorEnvCfg(DoorEnvCfg):
    """An Adroit hand opens a door."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(adroit("four_axes"))


@configclass
class DenseRewardsCfg:
    """What the expert is rewarded for, per second."""

    opening = RewardTermCfg(
        func=door_opening,
        weight=1.0,
        params={
            **HANDLE,
            "hand_cfg": SceneEntityCfg("robot", body_names=["palm"]),
            "hand_offset": GRASP_CENTER,
            "hinge_cfg": SceneEntityCfg("door", joint_names=["door_hinge"]),
            "latch_cfg": SceneEntityCfg("door", joint_names=["latch"]),
            "opened": OPEN,
        },
    )


@configclass
class AdroitDoorDenseEnvCfg(DenseEnv, AdroitDoorEnvCfg):
    """An Adroit hand opens a door and is rewarded all the time."""

    rewards: DenseRewardsCfg = DenseRewardsCfg()  # type: ignore[assignment]
