# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Two Franka Pandas transport a hammer."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-Transport-DualFranka",
    suites=("two_arms",),
    env_cfg_entry_point=f"{__name__}.env_cfg:DualFrankaTransportEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:TransportRunnerCfg",
    expert_entry_point=f"{__name__}.expert:TransportExpertCfg",
)
