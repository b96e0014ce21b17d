# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A Franka Panda puts the lid on a box."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-BoxClose-Franka",
    suites=("one_arm",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaBoxCloseEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:BoxCloseRunnerCfg",
    expert_entry_point=f"{__name__}.expert:BoxCloseExpertCfg",
)
register_task(
    "Zprl-BoxClose-Franka-Visual",
    suites=("visual",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaBoxCloseVisualEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:BoxCloseVisualRunnerCfg",
    expert_entry_point=f"{__name__}.expert:BoxCloseExpertCfg",
)
