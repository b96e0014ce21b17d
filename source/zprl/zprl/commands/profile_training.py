# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Show where the time of reinforcement learning goes, part by part.

Example: python scripts/profile_training.py --task Zprl-Lift-Franka --iterations 10 --trace training.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option, positive_int


@dataclass(frozen=True, kw_only=True)
class ProfileTrainingOptions(TaskOptions):
    """Options of the command."""

    num_envs: int | None = option("number of parallel worlds", None, type=positive_int)
    method: str | None = option("what is learned (default: the task's, zprl); docs/methods.md", None, metavar="NAME")
    algo: str | None = option("the learner (default: the task's)", None, metavar="ppo|sac")
    base: Path | None = option("base policy (default: the task's newest)", None, metavar="PATH")
    iterations: int = option("iterations to profile (default: %(default)s)", 10, type=positive_int)
    trace: Path | None = option("file to write a trace for chrome://tracing to", None, writes="file", metavar="FILE")


def run(options: ProfileTrainingOptions, overrides: list[str]) -> None:
    """Profile and print the table."""
    from zprl.profiling.training import profile_training
    from zprl.runs import paths
    from zprl.runs.session import TaskSession
    from zprl.utils.files import existing_file

    learner = options.method, options.algo
    session = TaskSession(options.task, options.device, overrides, options.num_envs, options.seed, *learner)
    base = existing_file(options.base or paths.latest_base_policy(options.task), "base policy")
    profile = profile_training(session, base, options.iterations)
    try:
        if options.trace is not None:  # before it is printed: whoever reads that may have gone
            profile.recorder.write_trace(options.trace, {"task": options.task, "physics": session.physics})
    finally:
        print(profile.report())


COMMAND = Command(__doc__, ProfileTrainingOptions, run)
