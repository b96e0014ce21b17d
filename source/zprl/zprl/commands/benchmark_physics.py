# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure a task's speed on several physics engines in turn; ratios are to the last one named.

Example: python scripts/benchmark_physics.py --task Zprl-Lift-Franka --training latest mujoco:2 mujoco:1 newton_mjwarp
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command
from zprl.utils.arguments import option, positive_int


@dataclass(frozen=True, kw_only=True)
class BenchmarkPhysicsOptions:
    """Options of the command."""

    engines: tuple[str, ...] = option("physics preset, or mujoco:N for N threads", nargs="+", metavar="ENGINE")
    task: str = option("task id")
    num_envs: int = option("number of parallel worlds", 256, type=positive_int)
    rounds: int = option("measurements of each engine", 3, type=positive_int)
    training: str | None = option("also learn, steering this base policy", None, metavar="latest|PATH")


def run(options: BenchmarkPhysicsOptions) -> None:
    """Measure and print."""
    from zprl.profiling.physics import benchmark_physics, benchmark_table
    from zprl.runs import paths

    base = None
    if options.training is not None:
        base = paths.latest_base_policy(options.task) if options.training == "latest" else Path(options.training)
    rates = benchmark_physics(options.task, options.engines, options.num_envs, options.rounds, base=base)
    print(benchmark_table(rates))


COMMAND = Command(__doc__, BenchmarkPhysicsOptions, run, takes_overrides=False)
