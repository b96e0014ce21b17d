# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a user asks of a study."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Options of ``zprl study``."""

    task: str
    """Task id."""
    device: str = "cpu"
    """Device: "cpu" or "cuda[:N]"."""
    methods: tuple[str, ...] | None = None
    """Methods to compare, or None for an ablation."""
    ablation: str | None = None
    """Setting to vary, or None where methods are compared."""
    values: tuple[float, ...] | None = None
    """Values of the ablation, or None for its own."""
    algos: tuple[str, ...] | None = None
    """Learners, or None for both, which for an ablation is SAC alone."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of reinforcement learning."""
    budget: int = 512_000
    """Environment steps of each run; they are rounded up to whole iterations."""
    evaluations: int = 10
    """Evaluations of each run."""
    num_envs: int | None = None
    """Number of worlds, or None for the task's own."""
    jobs: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    """Runs at once."""
    base: Path | None = None
    """Base policy of all runs, or None to train what is missing."""
    dataset_file: Path | None = None
    """Demonstrations, or None to collect what is missing."""
    name: str | None = None
    """Name of the study, or None for "methods" or the ablation's."""
    output: Path | None = None
    """Folder of the report, or None for docs/results/NAME."""
    report_only: bool = False
    """Whether to write the report of what is there and run nothing."""
