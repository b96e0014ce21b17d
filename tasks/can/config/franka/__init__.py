# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The Franka Panda moves a can."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-Can-Franka",
    suites=("one_arm",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaCanEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:CanRunnerCfg",
    expert_entry_point=f"{__name__}.expert:CanExpertCfg",
)
register_task(
    "Zprl-Can-Franka-Visual",
    suites=("visual",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaCanVisualEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:CanVisualRunnerCfg",
    expert_entry_point=f"{__name__}.expert:CanExpertCfg",
)
