# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An Adroit hand opens a door, strikes a nail and turns a pen, in the worlds of gymnasium-robotics."""

from zprl.tasks.registration import register_gymnasium_task

for _name in ("Door", "Hammer", "Pen"):
    register_gymnasium_task(
        f"Zprl-Bench-Adroit{_name}",
        suites=("benchmarks",),
        worlds_cfg_entry_point=f"{__name__}.worlds_cfg:{_name}WorldsCfg",
        zprl_cfg_entry_point=f"{__name__}.zprl_cfg:{_name}RunnerCfg",
        expert_entry_point=f"{__name__}.expert_cfg:{_name}ExpertCfg",
    )
