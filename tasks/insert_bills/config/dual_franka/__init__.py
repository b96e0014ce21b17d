# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Two Franka Pandas insert a bill."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-InsertBills-DualFranka",
    suites=("two_arms",),
    env_cfg_entry_point=f"{__name__}.env_cfg:DualFrankaInsertBillsEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:InsertBillsRunnerCfg",
    expert_entry_point=f"{__name__}.expert:InsertBillsExpertCfg",
    disturbances_entry_point="zprl.tasks.insert_bills.disturbances:DISTURBANCES",
)
