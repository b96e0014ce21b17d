# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An Adroit hand drives a nail."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-Hammer-Adroit",
    suites=("hands",),
    env_cfg_entry_point=f"{__name__}.env_cfg:AdroitHammerEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:HammerRunnerCfg",
    expert_entry_point=f"{__name__}.expert:HammerExpertCfg",
)
register_task(
    "Zprl-Hammer-Adroit-Dense",
    env_cfg_entry_point=f"{__name__}.env_cfg:AdroitHammerDenseEnvCfg",
    rsl_rl_cfg_entry_point=f"{__name__}.expert:HammerExpertRunnerCfg",
)
