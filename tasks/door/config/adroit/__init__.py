# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An Adroit hand opens a door."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-Door-Adroit",
    suites=("hands",),
    env_cfg_entry_point=f"{__name__}.env_cfg:AdroitDoorEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:DoorRunnerCfg",
    expert_entry_point=f"{__name__}.expert:DoorExpertCfg",
)
register_task(
    "Zprl-Door-Adroit-Dense",
    env_cfg_entry_point=f"{__name__}.env_cfg:AdroitDoorDenseEnvCfg",
    rsl_rl_cfg_entry_point=f"{__name__}.expert:DoorExpertRunnerCfg",
)
