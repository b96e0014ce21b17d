# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train the base policy on demonstrations, and check what its bottleneck costs; or the bottleneck of an imported one.

Example: python scripts/pretrain.py --task Zprl-Lift-Franka --dataset_file demos.hdf5 agent.pretrain.num_steps=5000
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option
from zprl.utils.errors import ZprlError


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(TaskOptions):
    """Options of the command."""

    dataset_file: Path | None = option(
        "demonstrations, a file or a folder of LeRobot (default: collect them)", None, metavar="F"
    )
    output: Path | None = option(
        "file to write (default: below logs/base_policy/)", None, writes="file", metavar="PATH"
    )
    base: Path | None = option(
        "imported base policy whose bottleneck is trained, beside which it is written", None, metavar="DIR"
    )


def run(options: PretrainOptions, overrides: list[str]) -> Path:
    """Train; return the base policy."""
    from zprl.data import existing_dataset
    from zprl.runs import paths
    from zprl.runs.base_policy import check_bottleneck, find_or_collect, load_base, pretrain_in_simulation
    from zprl.runs.session import TaskSession
    from zprl.utils.outputs import check_files, check_folder

    if options.base is not None:
        return _pretrain_imported(options, overrides)
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


def _pretrain_imported(options: PretrainOptions, overrides: list[str]) -> Path:
    """Train the bottleneck of an imported base policy; return its file.

    Raises:
        ZprlError: If there is no such policy, no data set is given, or they do not fit together.
    """
    from zprl.data import existing_dataset
    from zprl.policies.imported.policy import imported_file
    from zprl.runs.base_policy import check_bottleneck, load_base
    from zprl.runs.foreign_data import import_dataset
    from zprl.runs.imported import BOTTLENECK_FILE, pretrain_bottleneck
    from zprl.runs.session import TaskSession
    from zprl.utils.outputs import check_files

    assert options.base is not None
    if (file := imported_file(options.base)) is None:
        raise ZprlError(
            f"{options.base} is no folder that `zprl import-base` wrote; --base names one, to train its bottleneck."
        )
    if options.output is not None:
        raise ZprlError(f"the bottleneck of an imported policy is written beside it, in {file.parent}; drop --output.")
    if options.dataset_file is None:
        raise ZprlError("the bottleneck of an imported policy learns from the policy's own data; pass --dataset_file.")
    existing_dataset(options.dataset_file)
    path = file.parent / BOTTLENECK_FILE
    check_files({"the bottleneck": path, "what it costs": path.with_suffix(".json")})
    session = TaskSession(options.task, options.device, overrides)
    if options.seed is not None:
        session.agent_cfg.imported.seed = options.seed
    with session.launched(options.viz):
        dataset = import_dataset(session, options.dataset_file)
        with session.environment() as env:
            pretrain_bottleneck(session, file, dataset, env.spec, path)
            check_bottleneck(env, *load_base(session, file, env.spec), session.agent_cfg.evaluation, path)
    return path


COMMAND = Command(__doc__, PretrainOptions, run)
