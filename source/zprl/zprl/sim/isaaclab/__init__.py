# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab behind one door: its settings, its start, its output and its environments."""

from zprl.sim.isaaclab.launch import close_env as close_env
from zprl.sim.isaaclab.launch import configure_runtime as configure_runtime
from zprl.sim.isaaclab.launch import launched as launched
from zprl.sim.isaaclab.launch import make_env as make_env
from zprl.sim.isaaclab.quiet import quiet_simulator as quiet_simulator
from zprl.sim.isaaclab.settings import check_env_values as check_env_values
from zprl.sim.isaaclab.settings import list_tasks as list_tasks
from zprl.sim.isaaclab.settings import resolve_task as resolve_task
from zprl.sim.isaaclab.settings import tasks_of_suite as tasks_of_suite
from zprl.sim.isaaclab.time_outs import check_time as check_time
from zprl.utils.devices import check_device as check_device
