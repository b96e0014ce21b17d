# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""``scripts/export.py``: from a checkpoint to a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from zprl.deploy import formats
from zprl.deploy.bundle import (
    RANDOM_CASES,
    RECORDING_SEED,
    RECORDING_WORLDS,
    Source,
    check_output,
    describe,
    layout_of,
    runnable_kinds,
    write_bundle,
)
from zprl.policies import TorchPolicyStep
from zprl.rl.checkpoint import load_checkpoint, resolve_base, resolve_checkpoint
from zprl.runs.session import TaskSession
from zprl.spec import EnvLayout
from zprl.steering import LatentResidual, make_steering
from zprl.utils.errors import ZprlError


def export(args: argparse.Namespace, overrides: list[str]) -> Path:
    """Run ``scripts/export.py``.

    Args:
        args: ``task``, ``device``, ``seed``, ``viz``, ``checkpoint`` (``latest``, ``base`` or a file), ``base``,
            ``output``, ``format``, ``portable``, ``precision``, ``force``.
        overrides: Hydra overrides.

    Returns:
        The bundle.

    Raises:
        ZprlError: If the checkpoint does not fit the task, the output cannot be written, a format is unknown, or a file
            that was written does not reproduce the policy.
    """
    kinds = [*formats.parse_formats(args.format), *(["portable"] if args.portable else []), "native"]
    formats.require_packages(kinds)
    output = check_output(Path(args.output), args.force)
    session = TaskSession(args.task, args.device, overrides, RECORDING_WORLDS)
    source = load_source(session, args)
    kinds = runnable_kinds(source, kinds, args.precision)
    with session.launched(args.viz), session.environment(RECORDING_WORLDS) as env:
        layout = EnvLayout.of(session.task, env)
        layout.require_match(layout_of(source), f"the policy {source.path}")
        recording, contract = describe(source, env, layout, RECORDING_SEED if args.seed is None else args.seed)
    errors = write_bundle(output, source, contract, recording, kinds, args.precision)
    print(
        f"errors relative to the chunks' RMS, against the model in double precision, on {len(recording.plan_step)} "
        f"recorded and {RANDOM_CASES} random observations, in a fresh process:"
    )
    print(errors)
    print(
        f"bundle: {output}/ ({contract.policy} policy of {source.path}, {recording.num_episodes} recorded episodes of "
        f"{len(recording.obs)} control steps)"
    )
    return output


def load_source(session: TaskSession, args: argparse.Namespace) -> Source:
    """Load what ``--checkpoint`` names, with the session's inference settings.

    Raises:
        ZprlError: If it does not exist or belongs to another task.
    """
    if args.checkpoint == "base":
        path = resolve_base(args.base, args.task)
        policy, meta = session.load_base(path)
        source = Source(path, policy.cpu(), meta, 0.0, None)
    else:
        path = resolve_checkpoint(args.checkpoint, args.task, session.agent_cfg.experiment_name)
        checkpoint = load_checkpoint(path)
        _check_task(checkpoint.layout, args.task, path)
        if checkpoint.method != "zprl":
            raise ZprlError(
                f"the checkpoint {path} is of --method {checkpoint.method}, and only policies of --method zprl are "
                "exported; evaluate it with scripts/evaluate.py."
            )
        policy = session.adopt(checkpoint).cpu()
        steering = make_steering(session.agent_cfg.steering, TorchPolicyStep(policy), checkpoint.policy_meta)
        assert isinstance(steering, LatentResidual)
        source = Source(path, policy, checkpoint.policy_meta, steering.residual_scale, checkpoint)
    _check_task(layout_of(source), args.task, path)
    return source


def _check_task(layout: EnvLayout, task: str, path: Path) -> None:
    if layout.task != task:
        raise ZprlError(f"the policy {path} belongs to task {layout.task}, not to {task}; pass --task {layout.task}.")
