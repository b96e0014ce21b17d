# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A Franka Panda brings a puck around a wall."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-PushWall-Franka",
    suites=("one_arm",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaPushWallEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:PushWallRunnerCfg",
    expert_entry_point=f"{__name__}.expert:PushWallExpertCfg",
)
register_task(
    "Zprl-PushWall-Franka-Visual",
    suites=("visual",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaPushWallVisualEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:PushWallVisualRunnerCfg",
    expert_entry_point=f"{__name__}.expert:PushWallExpertCfg",
)
