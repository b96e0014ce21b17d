# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A Franka Panda puts an orange into a juicer."""

from zprl.tasks.registration import register_task

register_task(
    "Zprl-PlaceOrange-Franka",
    suites=("one_arm", "real_twins"),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaPlaceOrangeEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:PlaceOrangeRunnerCfg",
    expert_entry_point=f"{__name__}.expert:PlaceOrangeExpertCfg",
    disturbances_entry_point="zprl.tasks.place_orange.disturbances:DISTURBANCES",
)
register_task(
    "Zprl-PlaceOrange-Franka-Visual",
    suites=("visual",),
    env_cfg_entry_point=f"{__name__}.env_cfg:FrankaPlaceOrangeVisualEnvCfg",
    zprl_cfg_entry_point=f"{__name__}.zprl_cfg:PlaceOrangeVisualRunnerCfg",
    expert_entry_point=f"{__name__}.expert:PlaceOrangeExpertCfg",
    disturbances_entry_point="zprl.tasks.place_orange.disturbances:DISTURBANCES",
)
