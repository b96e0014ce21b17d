# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The Franka Panda lifts a cube."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-Lift-Franka",
    suites=("one_arm",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaLiftEnvCfg",
    expert_entry_point=f"{__name__}.expert:LiftExpertCfg",
)
register_task(
    "Zprl-Lift-Franka-Visual",
    suites=("visual",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaLiftVisualEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:LiftVisualRunnerCfg",
    expert_entry_point=f"{__name__}.expert:LiftExpertCfg",
)
