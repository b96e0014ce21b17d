# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The pen task with an Adroit hand."""

from __future__ import annotations

from isaaclab.managers import RewardTermCfg
from isaaclab.utils import configclass

from zprl.tasks import mdp
from zprl.tasks.common.env_cfg import DenseEnv
from zprl.tasks.pen.mdp import pen_pointing
from zprl.tasks.pen.pen_env_cfg import ALIGNMENT, DISTANCE, PLACE, PenEnvCfg
from zprl.tasks.robots.adroit import adroit


@configclass
class AdroitPenEnvCfg(PenEnvCfg):
    """An Adroit hand turns a pen."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.use_robot(adroit())


@configclass
class DenseRewardsCfg:
    """What the expert is rewarded for, per second."""

    pointing = RewardTermCfg(
        func=pen_pointing, weight=1.0, params={"position": PLACE, "distance": DISTANCE, "alignment": ALIGNMENT}
    )
    dropped = RewardTermCfg(
        func=mdp.is_terminated_term,  # type: ignore[arg-type]
        weight=-250.0,
        params={"term_keys": "object_dropping"},
    )


@configclass
class AdroitPenDenseEnvCfg(DenseEnv, AdroitPenEnvCfg):
    """An Adroit hand turns a pen and is rewarded all the time."""

    rewards: DenseRewardsCfg = DenseRewardsCfg()  # type: ignore[assignment]
