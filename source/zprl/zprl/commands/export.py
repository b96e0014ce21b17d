# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Export a steered policy as a bundle: TorchScript, ONNX, torch.export and the native blob, contract and proof.

Example: python scripts/export.py --task Zprl-Lift-Franka --checkpoint latest --output lift_bundle --portable
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zprl.commands.options import Command, TaskOptions, add_task_arguments
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.deploy.bundle import Source
    from zprl.rl.checkpoint import SteeringCheckpoint
    from zprl.runs.session import TaskSession


@dataclass(frozen=True, kw_only=True)
class ExportOptions(TaskOptions):
    """Options of the command."""

    checkpoint: str = "latest"
    """What to export: "latest", "base", or a checkpoint."""
    base: Path | None = None
    """With checkpoint "base": which one, or None for the newest."""
    output: Path
    """Folder to write, new or empty."""
    force: bool = False
    """Whether to replace a bundle in the folder."""
    format: str = "torchscript,onnx,torch_export"
    """Formats beside the native blob, separated by commas."""
    portable: bool = False
    """Whether to add a TorchScript file without this project's operators."""
    precision: str = "float32"
    """Weights of the velocity field in the formats that run on the native core: "float32" or "bfloat16"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`ExportOptions`."""
    add_task_arguments(parser)
    parser.add_argument("--checkpoint", metavar="latest|base|PATH", help="what to export (default: %(default)s)")
    parser.add_argument("--base", type=Path, metavar="PATH", help="with --checkpoint base: which (default: the newest)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write, new or empty")
    parser.add_argument("--force", action="store_true", help="replace the bundle in the folder")
    parser.add_argument("--format", metavar="LIST", help="formats beside the native blob (default: %(default)s)")
    parser.add_argument("--portable", action="store_true", help="add a TorchScript file without our operators")
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="weights of the velocity field in the formats that run on our core (default: %(default)s)",
    )


def run(options: ExportOptions, overrides: list[str]) -> Path:
    """Export, and print the errors of what was written.

    Returns:
        The bundle.

    Raises:
        ZprlError: If the checkpoint does not fit the task, the output cannot be written, a format is unknown, or a file
            that was written does not reproduce the policy.
    """
    from zprl.deploy import formats
    from zprl.deploy.bundle import (
        RANDOM_CASES,
        RECORDING_SEED,
        RECORDING_WORLDS,
        check_output,
        export_policy,
        runnable_kinds,
    )
    from zprl.runs.find import find_checkpoint, resolve_base
    from zprl.runs.session import TaskSession

    kinds = [*formats.parse_formats(options.format), *(["portable"] if options.portable else []), "native"]
    formats.require_packages(kinds)
    output = check_output(options.output, options.force)
    checkpoint = None
    if options.checkpoint != "base":
        checkpoint = find_checkpoint(options.checkpoint, options.task, overrides)
    session = TaskSession(options.task, options.device, overrides, RECORDING_WORLDS, checkpoint=checkpoint)
    source = load_source(session, checkpoint, None if checkpoint else resolve_base(options.base, options.task))
    source.reference()  # what cannot be exported at all is said before anything is started
    kinds = runnable_kinds(source, kinds, options.precision)
    seed = RECORDING_SEED if options.seed is None else options.seed
    with session.launched(options.viz), session.environment(RECORDING_WORLDS) as env:
        exported = export_policy(env, source, output, kinds, options.precision, seed, options.force)
    recording = exported.recording
    print(
        f"errors relative to the chunks' RMS, against the model in double precision, on {len(recording.plan_step)} "
        f"recorded and {RANDOM_CASES} random observations, in a fresh process:"
    )
    print(exported.errors)
    print(
        f"bundle: {output}/ ({exported.contract.policy} policy of {source.path}, {recording.num_episodes} recorded "
        f"episodes of {recording.num_steps} control steps)"
    )
    return output


def load_source(session: TaskSession, checkpoint: SteeringCheckpoint | None, base: Path | None) -> Source:
    """Return what is exported, with the session's inference settings.

    Args:
        session: The task; it takes over how the checkpoint's run acts.
        checkpoint: The checkpoint, or None for a base policy alone.
        base: File of the base policy, if there is no checkpoint.

    Raises:
        ZprlError: If it cannot be exported or belongs to another task.
    """
    from zprl.deploy.bundle import Source
    from zprl.policies import make_base_policy
    from zprl.runs.base_policy import load_base
    from zprl.steering import make_steering

    if checkpoint is None:
        assert base is not None
        policy, meta = load_base(session, base)
        source = Source(base, make_base_policy(policy, meta), meta)
    else:
        base_policy = make_base_policy(session.take_over_policy(checkpoint), checkpoint.policy_meta)
        steering = make_steering(session.agent_cfg.steering, base_policy)
        source = Source(checkpoint.path, base_policy, checkpoint.policy_meta, checkpoint, steering)
    if source.spec.task != session.task:
        raise ZprlError(
            f"the policy {source.path} belongs to task {source.spec.task}, not to {session.task}; pass --task "
            f"{source.spec.task}."
        )
    return source


COMMAND = Command(__doc__, ExportOptions, add_arguments, run)
