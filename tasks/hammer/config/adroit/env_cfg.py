# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The hammer task with an Adroit hand."""

from __future__ import annotations

from isaaclab.managers import RewardTermCfg, SceneEntityCfg
from isaaclab.utils import configclass

from zprl.tasks.common.env_cfg import DenseEnv
from zprl.tasks.hammer.hammer_env_cfg import HOME, NAIL_HEAD, HammerEnvCfg
from zprl.tasks.hammer.mdp import nail_driving
from zprl.tasks.robots.adroit import GRASP_CENTER, adroit


@configclass
class AdroitHammerEnvCfg(HammerEnvCfg):
    """An Adroit hand drives a nail."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(adroit("two_axes"))


@configclass
class DenseRewardsCfg:
    """What the expert is rewarded for, per second."""

    driving = RewardTermCfg(
        func=nail_driving,
        weight=1.0,
        params={
            "nail_cfg": SceneEntityCfg("board", body_names=["nail"]),
            "nail_offset": NAIL_HEAD,
            "hand_cfg": SceneEntityCfg("robot", body_names=["palm"]),
            "hand_offset": GRASP_CENTER,
            "face": (-0.24, 0.0, -0.04),
            "depth_cfg": SceneEntityCfg("board", joint_names=["nail_dir"]),
            "home": HOME,
        },
    )


@configclass
class AdroitHammerDenseEnvCfg(DenseEnv, AdroitHammerEnvCfg):
    """An Adroit hand drives a nail and is rewarded all the time."""

    rewards: DenseRewardsCfg = DenseRewardsCfg()  # type: ignore[assignment]
