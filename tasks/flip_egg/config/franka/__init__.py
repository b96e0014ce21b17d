# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A Franka Panda with a spatula turns a fried egg over."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-FlipEgg-Franka",
    suites=("real_twins",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaFlipEggEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:FlipEggRunnerCfg",
    expert_entry_point=f"{__name__}.expert:FlipEggExpertCfg",
    disturbances_entry_point="zprl.tasks.flip_egg.disturbances:DISTURBANCES",
)
