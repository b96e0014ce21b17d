# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measure how fast a task's camera images are drawn, natively and by Newton; in turns, on the CPU.

Example: python scripts/benchmark_render.py --task Zprl-Lift-Franka --num_envs 64,256 --sizes 64,84 --threads 1,2
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command
from zprl.utils.arguments import comma_separated, option, positive_int
from zprl.utils.constraints import PositiveFloat


@dataclass(frozen=True, kw_only=True)
class BenchmarkRenderOptions:
    """Options of the command."""

    task: str = option("task id")
    num_envs: tuple[int, ...] = option(
        "numbers of worlds (default: 64,256)", (64, 256), type=comma_separated(positive_int)
    )
    sizes: tuple[int, ...] = option("sides of the images [px]", (64, 84), type=comma_separated(positive_int))
    threads: tuple[int, ...] = option("threads of the ray caster", (1, 2), type=comma_separated(positive_int))
    budget: PositiveFloat = option("time of each measurement [s]", 10.0)
    picture: Path | None = option(
        "file to write both images to, side by side: .png", None, writes="file", metavar="FILE"
    )


def run(options: BenchmarkRenderOptions, overrides: list[str]) -> None:
    """Measure and print."""
    from zprl.profiling.render import benchmark_render, render_table, write_picture

    report = benchmark_render(
        options.task,
        overrides,
        options.num_envs,
        options.sizes,
        options.threads,
        options.budget,
        options.picture is not None,
    )
    try:
        if options.picture is not None:
            write_picture(options.picture, report.pictures)
    finally:
        print(render_table(report))


COMMAND = Command(__doc__, BenchmarkRenderOptions, run)
