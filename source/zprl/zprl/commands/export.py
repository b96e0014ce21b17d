# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Export a steered policy as a bundle: TorchScript, ONNX, torch.export and the native blob, contract and proof.

Example: python scripts/export.py --task Zprl-Lift-Franka --checkpoint latest --output lift_bundle --portable
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option

if TYPE_CHECKING:
    from zprl.deploy.bundle import Source
    from zprl.rl.checkpoint import SteeringCheckpoint
    from zprl.runs.session import TaskSession


@dataclass(frozen=True, kw_only=True)
class ExportOptions(TaskOptions):
    """Options of the command."""

    checkpoint: str = option("what to export (default: %(default)s)", "latest", metavar="latest|base|PATH")
    base: Path | None = option("with --checkpoint base: which (default: the newest)", None, metavar="PATH")
    output: Path = option("folder to write, new or empty", writes="whole folder", metavar="DIR")
    force: bool = option("replace the bundle in the folder", False)
    format: str = option(
        "formats beside the native blob (default: %(default)s)", "torchscript,onnx,torch_export", metavar="LIST"
    )
    portable: bool = option("add a TorchScript file without our operators", False)
    precision: str = option(
        "weights of the velocity field in the formats that run on our core (default: %(default)s)",
        "float32",
        choices=("float32", "bfloat16"),
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
    from zprl.runs.find import open_policy

    kinds = [*formats.parse_formats(options.format), *(["portable"] if options.portable else []), "native"]
    formats.require_packages(kinds)
    output = check_output(options.output, options.force)
    session, chosen = open_policy(
        options.checkpoint, options.base, options.task, options.device, overrides, RECORDING_WORLDS
    )
    source = _source(session, chosen)
    source.reference()  # what cannot be exported at all is said before anything is started
    kinds = runnable_kinds(source, kinds, options.precision)
    seed = RECORDING_SEED if options.seed is None else options.seed
    with session.launched(options.viz), session.environment() as env:
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


def _source(session: TaskSession, chosen: SteeringCheckpoint | Path) -> Source:
    """Return what is exported, with the session's inference settings, which a checkpoint's own become."""
    from zprl.deploy.bundle import Source
    from zprl.deploy.source import exportable
    from zprl.policies import make_base_policy
    from zprl.runs.base_policy import load_base
    from zprl.spec import require_task
    from zprl.steering import make_steering

    policy, meta = load_base(session, chosen)
    base = exportable(make_base_policy(policy, meta), chosen if isinstance(chosen, Path) else chosen.path)
    if isinstance(chosen, Path):
        source = Source(chosen, base, meta)
    else:
        source = Source(chosen.path, base, meta, chosen, make_steering(session.agent_cfg.steering, base))
    require_task(session.task, source.spec.task, f"the policy {source.path}")
    return source


COMMAND = Command(__doc__, ExportOptions, run)
