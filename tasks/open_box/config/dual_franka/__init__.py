# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Two Franka Pandas open a box."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-OpenBox-DualFranka",
    suites=("two_arms", "real_twins"),
    env_cfg_entry_point=f"{__name__}.env_cfg:DualFrankaOpenBoxEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:OpenBoxRunnerCfg",
    expert_entry_point=f"{__name__}.expert:OpenBoxExpertCfg",
    disturbances_entry_point="zprl.tasks.open_box.disturbances:DISTURBANCES",
)
