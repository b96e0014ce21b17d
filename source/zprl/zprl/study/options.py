# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a user asks of a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.study.launchers import LAUNCHERS
from zprl.utils.arguments import comma_separated, option, positive_int, seed_int


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Options of ``zprl study``."""

    task: str | None = option("task id, such as Zprl-Lift-Franka", None)
    tasks: tuple[str, ...] | None = option(
        "several tasks instead of one", None, type=comma_separated(str), metavar="TASK,..."
    )
    suite: str | None = option("the tasks of a suite instead, such as one_arm; docs/tasks.md", None, metavar="NAME")
    device: str = option("cpu or cuda[:N] (default: %(default)s)", "cpu")
    methods: tuple[str, ...] | None = option(
        "methods to compare; docs/methods.md", None, type=comma_separated(str), metavar="M,..."
    )
    ablation: str | None = option(
        "setting to vary: lambda, z_dim, beta, num_demos, bottleneck or critic", None, metavar="NAME"
    )
    values: tuple[float, ...] | None = option(
        "values of the ablation", None, type=comma_separated(float), metavar="V,..."
    )
    algos: tuple[str, ...] | None = option(
        "learners (default: ppo,sac; sac for an ablation)", None, type=comma_separated(str), metavar="A,..."
    )
    seeds: tuple[int, ...] = option("default: 0,1,2", (0, 1, 2), type=comma_separated(seed_int), metavar="S,...")
    budget: int = option(
        "environment steps of each run, rounded up to whole iterations (default: %(default)s)",
        512_000,
        type=positive_int,
        metavar="STEPS",
    )
    evaluations: int = option("evaluations of each run (default: %(default)s)", 10, type=positive_int)
    num_envs: int | None = option("number of parallel worlds", None, type=positive_int)
    jobs: int | None = option(
        "runs at once (default: one per core, or all with slurm and ray)", None, type=positive_int
    )
    launcher: str = option("where runs are started (default: %(default)s)", "local", choices=LAUNCHERS)
    launcher_options: tuple[str, ...] = option(
        "settings of the launcher, such as slurm_partition=gpu,timeout_min=600",
        (),
        type=comma_separated(str),
        metavar="KEY=VALUE,...",
    )
    base: Path | None = option("base policy of all runs of one task instead of training one", None, metavar="PATH")
    dataset_file: Path | None = option("demonstrations of one task instead of collecting them", None, metavar="F")
    name: str | None = option(
        'name of the study (default: "methods", or the ablation\'s, after that of the suite if there is one)', None
    )
    output: Path | None = option(
        "folder to write the report to (default: docs/results/NAME)", None, writes="folder", metavar="DIR"
    )
    report_only: bool = option("write the report of what is there, and run nothing", False)
