# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policies that ``--checkpoint`` and ``--base`` name: found, and put together for whoever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zprl.policies import ImportedBasePolicy, make_base_policy
from zprl.policies.base import BasePolicy
from zprl.policies.imported.policy import imported_file
from zprl.rl.actor import load_actor
from zprl.rl.checkpoint import SteeringCheckpoint, load_checkpoint
from zprl.rl.checkpoint_files import checkpoints
from zprl.runs.base_policy import load_base
from zprl.runs.paths import latest_base_policy, latest_checkpoint
from zprl.runs.session import AGENT_ENTRY_POINT, TaskSession
from zprl.runs.simulators import simulator_of
from zprl.spec import TaskSpec
from zprl.steering import ChunkPolicy, Steering, base_chunks, make_steering, steered_chunks
from zprl.utils.configclass import class_to_dict
from zprl.utils.errors import ZprlError
from zprl.utils.files import existing_file
from zprl.utils.registry import trust, trust_overrides


def find_checkpoint(selector: str, task: str, overrides: Sequence[str]) -> SteeringCheckpoint:
    """Read the checkpoint that ``latest`` or a path selects, of whatever method.

    It may name the classes that the task's configuration or the overrides name: those are the user's own words.

    Args:
        selector: "latest", a file, or the folder of a run, whose newest it is.
        task: Task id.
        overrides: Hydra overrides, which may name the experiment.

    Raises:
        ZprlError: If there is no such task or file, or it is no checkpoint.
    """
    path = Path(selector)
    if selector != "latest" and path.is_dir():
        if not (found := checkpoints(path)):
            raise ZprlError(f"the folder {path} holds no checkpoint; pass a run's folder, a file, or 'latest'.")
        path = found[-1]
    elif selector != "latest" and not path.is_file():
        raise ZprlError(f"there is no checkpoint {path}; pass a file, a run's folder, or 'latest'.")
    agent_cfg = simulator_of(task).resolve(task, AGENT_ENTRY_POINT, ())[1]
    if selector == "latest":
        given = [text.partition("=")[2] for text in overrides if text.startswith("agent.experiment_name=")]
        path = latest_checkpoint(task, given[-1] if given else agent_cfg.experiment_name)
    trust(class_to_dict(agent_cfg))
    trust_overrides(overrides)
    return load_checkpoint(path)


def open_policy(
    selector: str,
    base: Path | None,
    task: str,
    device: str,
    overrides: Sequence[str],
    num_envs: int | None = None,
) -> tuple[TaskSession, SteeringCheckpoint | Path]:
    """Return a session for what ``--checkpoint`` and ``--base`` select, with the checkpoint or the base policy's file.

    Args:
        selector: "latest", "base" or a checkpoint.
        base: Of "base" which one, or None for the task's newest.
        task: See :class:`TaskSession`, as all that follow.
        device: Device.
        overrides: Hydra overrides.
        num_envs: Number of worlds.

    Raises:
        ZprlError: If there is no such task or file, it is no checkpoint, or a setting is wrong.
    """
    if selector != "base":
        checkpoint = find_checkpoint(selector, task, overrides)
        return TaskSession(task, device, overrides, num_envs, checkpoint=checkpoint), checkpoint
    session = TaskSession(task, device, overrides, num_envs)
    if base is not None and (file := imported_file(base)) is not None:
        return session, existing_file(file, "base policy")
    return session, existing_file(base or latest_base_policy(task), "base policy")


@dataclass(frozen=True)
class LoadedPolicies:
    """A base policy and, of a checkpoint, what steers it, ready to act.

    Attributes:
        base_policy: The base policy.
        steering: The steering around it, or None of an imported one by itself.
        planners: The policy ``base`` by itself and, of a checkpoint, the ``steered`` one.
    """

    base_policy: BasePolicy
    steering: Steering | None
    planners: Mapping[str, ChunkPolicy]


def load_policies(session: TaskSession, spec: TaskSpec, source: SteeringCheckpoint | Path) -> LoadedPolicies:
    """Put the policies of a checkpoint or of a base policy's file together.

    Args:
        session: The task; it takes over how the checkpoint's run acts.
        spec: Spec of the environment that they will act in.
        source: The checkpoint or the file.

    Raises:
        ZprlError: If they do not fit the spec.
    """
    base = make_base_policy(*load_base(session, source, spec), session.device)
    if isinstance(base, ImportedBasePolicy) and not isinstance(source, SteeringCheckpoint):
        # Whatever it could be steered by.
        return LoadedPolicies(base, None, {"base": ChunkPolicy(base, base.act, base.mixes_rows(None))})
    steering = make_steering(session.agent_cfg.steering, base)
    planners = {"base": base_chunks(steering)}
    if isinstance(source, SteeringCheckpoint):
        groups = source.settings["agent"]["obs_groups"]["actor"]
        planners["steered"] = steered_chunks(steering, load_actor(source, session.device), groups)
    return LoadedPolicies(base, steering, planners)
