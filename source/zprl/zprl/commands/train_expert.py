# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Learn a task's expert by reinforcement learning with a dense reward: for tasks that no script can demonstrate.

The file that it writes is what collect_demos.py acts with; the repository has it for every task that needs one.

Example: python scripts/train_expert.py --task Zprl-Pen-Adroit --output pen_expert.safetensors
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option, positive_int


@dataclass(frozen=True, kw_only=True)
class TrainExpertOptions(TaskOptions):
    """Options of the command."""

    output: Path = option("file to write", writes="file", metavar="F")
    num_envs: int | None = option("number of parallel worlds", None, type=positive_int)
    max_iterations: int | None = option("iterations of the learner", None, type=positive_int)
    episodes: int = option("episodes that judge the expert (default: %(default)s)", 200, type=positive_int)


def run(options: TrainExpertOptions, overrides: list[str]) -> float:
    """Learn; return the share of episodes in which the expert succeeds."""
    from zprl.runs.expert_training import train_expert

    if options.max_iterations is not None:
        overrides = [*overrides, f"agent.max_iterations={options.max_iterations}"]
    success = train_expert(
        options.task,
        options.output,
        options.device,
        overrides,
        options.num_envs,
        options.seed,
        options.viz,
        options.episodes,
    )
    print(f"the expert succeeds in {100 * success.rate:.1f}% [{100 * success.low:.1f}, {100 * success.high:.1f}]")
    return success.rate


COMMAND = Command(__doc__, TrainExpertOptions, run)
