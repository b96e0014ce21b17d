# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An Adroit hand turns a pen."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-Pen-Adroit",
    suites=("hands",),
    env_cfg_entry_point=f"{__name__}.env_cfg:AdroitPenEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:PenRunnerCfg",
    expert_entry_point=f"{__name__}.expert:PenExpertCfg",
)
register_task(
    "Zprl-Pen-Adroit-Dense",
    env_cfg_entry_point=f"{__name__}.env_cfg:AdroitPenDenseEnvCfg",
    rsl_rl_cfg_entry_point=f"{__name__}.expert:PenExpertRunnerCfg",
)
