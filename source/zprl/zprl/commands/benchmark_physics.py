# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure a task's speed on several physics engines in turn; ratios are to the last one named.

Example: python scripts/benchmark_physics.py --task Zprl-Lift-Franka --training latest mujoco:2 mujoco:1 newton_mjwarp
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, positive_int


@dataclass(frozen=True, kw_only=True)
class BenchmarkPhysicsOptions:
    """Options of the command."""

    engines: tuple[str, ...]
    """Physics presets, or "mujoco:N" for N threads."""
    task: str
    """Task id."""
    num_envs: int = 256
    """Number of worlds."""
    rounds: int = 3
    """Measurements of each engine."""
    training: str | None = None
    """Base policy with which learning is measured too: "latest", a file, or None for none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`BenchmarkPhysicsOptions`."""
    parser.add_argument("engines", nargs="+", metavar="ENGINE", help="physics preset, or mujoco:N for N threads")
    parser.add_argument("--task", required=True, help="task id")
    parser.add_argument("--num_envs", type=positive_int, help="number of parallel worlds")
    parser.add_argument("--rounds", type=positive_int, help="measurements of each engine")
    parser.add_argument("--training", metavar="latest|PATH", help="also learn, steering this base policy")


def run(options: BenchmarkPhysicsOptions) -> None:
    """Measure and print."""
    from zprl.profiling.physics import benchmark_physics, benchmark_table
    from zprl.runs import paths

    base = None
    if options.training is not None:
        base = paths.latest_base_policy(options.task) if options.training == "latest" else Path(options.training)
    rates = benchmark_physics(options.task, options.engines, options.num_envs, options.rounds, base=base)
    print(benchmark_table(rates))


COMMAND = Command(__doc__, BenchmarkPhysicsOptions, add_arguments, run, takes_overrides=False)
