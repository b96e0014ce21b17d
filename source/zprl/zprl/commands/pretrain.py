# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train the base policy on demonstrations, and check what its bottleneck costs.

Example: python scripts/pretrain.py --task Zprl-Lift-Franka --dataset_file demos.hdf5 agent.pretrain.num_steps=5000
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, TaskOptions, add_task_arguments


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(TaskOptions):
    """Options of the command."""

    dataset_file: Path | None = None
    """Demonstrations, or None for those of the settings, which are collected if they are not there."""
    output: Path | None = None
    """File to write, or None for the one of the settings."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`PretrainOptions`."""
    add_task_arguments(parser)
    parser.add_argument("--dataset_file", type=Path, metavar="F", help="demonstrations (default: collect them)")
    parser.add_argument("--output", type=Path, metavar="PATH", help="file to write (default: below logs/base_policy/)")


def run(options: PretrainOptions, overrides: list[str]) -> Path:
    """Train; return the base policy."""
    from zprl.runs import paths
    from zprl.runs.base_policy import check_bottleneck, find_or_collect, load_base, pretrain
    from zprl.runs.session import TaskSession

    session = TaskSession(options.task, options.device, overrides)
    if options.seed is not None:
        session.agent_cfg.pretrain.seed = options.seed
    with session.launched(options.viz):
        dataset = find_or_collect(session, options.dataset_file)
        path = options.output or paths.base_policy_path(options.task, session.agent_cfg, dataset)
        pretrain(options.task, session.agent_cfg, dataset, path, session.device)
        with session.environment() as env:
            check_bottleneck(env, *load_base(session, path, env.spec), session.agent_cfg.evaluation, path)
    return path


COMMAND = Command(__doc__, PretrainOptions, add_arguments, run)
