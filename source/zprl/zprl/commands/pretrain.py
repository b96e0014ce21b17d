# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train the base policy on demonstrations, and check what its bottleneck costs.

Example: python scripts/pretrain.py --task Zprl-Lift-Franka --dataset_file demos.hdf5 agent.pretrain.num_steps=5000
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(TaskOptions):
    """Options of the command."""

    dataset_file: Path | None = option(
        "demonstrations, a file or a folder of LeRobot (default: collect them)", None, metavar="F"
    )
    output: Path | None = option(
        "file to write (default: below logs/base_policy/)", None, writes="file", metavar="PATH"
    )


def run(options: PretrainOptions, overrides: list[str]) -> Path:
    """Train; return the base policy."""
    from zprl.data import existing_dataset
    from zprl.runs import paths
    from zprl.runs.base_policy import check_bottleneck, find_or_collect, load_base, pretrain_in_simulation
    from zprl.runs.session import TaskSession
    from zprl.utils.outputs import check_files, check_folder

    if options.dataset_file is not None:
        existing_dataset(options.dataset_file)
    if options.output is not None:
        check_files({"--output": options.output, "what the bottleneck costs": options.output.with_suffix(".json")})
    session = TaskSession(options.task, options.device, overrides)
    if options.seed is not None:
        session.agent_cfg.pretrain.seed = options.seed
    if options.output is None:
        check_folder("the folder", paths.LOGS)
    with session.launched(options.viz):
        dataset = find_or_collect(session, options.dataset_file)
        path = options.output or paths.base_policy_path(options.task, session.agent_cfg, dataset)
        pretrain_in_simulation(session, dataset, path)
        with session.environment() as env:
            check_bottleneck(env, *load_base(session, path, env.spec), session.agent_cfg.evaluation, path)
    return path


COMMAND = Command(__doc__, PretrainOptions, run)
