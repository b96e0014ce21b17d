# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A Sawyer closes a box and brings a puck around a wall, in the worlds of MetaWorld."""

from zprl.tasks.registration import register_gymnasium_task

for _name in ("BoxClose", "PushWall"):
    register_gymnasium_task(
        f"Zprl-Bench-{_name}",
        suites=("benchmarks",),
        worlds_cfg_entry_point=f"{__name__}.worlds_cfg:{_name}WorldsCfg",
        zprl_cfg_entry_point=f"{__name__}.zprl_cfg:{_name}RunnerCfg",
        expert_entry_point=f"{__name__}.expert_cfg:ScriptedExpertCfg",
    )
