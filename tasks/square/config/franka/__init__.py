# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The Franka Panda puts a nut over a peg."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-Square-Franka",
    suites=("one_arm",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaSquareEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:SquareRunnerCfg",
    expert_entry_point=f"{__name__}.expert:SquareExpertCfg",
)
register_task(
    "Zprl-Square-Franka-Visual",
    suites=("visual",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaSquareVisualEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:SquareVisualRunnerCfg",
    expert_entry_point=f"{__name__}.expert:SquareExpertCfg",
)
