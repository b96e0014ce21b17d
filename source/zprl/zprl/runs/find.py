# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Which checkpoint or base policy a command means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zprl.rl.checkpoint import SteeringCheckpoint, load_checkpoint
from zprl.runs.paths import latest_base_policy, latest_checkpoint
from zprl.runs.session import AGENT_ENTRY_POINT
from zprl.sim import isaaclab
from zprl.utils.configclass import class_to_dict
from zprl.utils.errors import ZprlError
from zprl.utils.registry import trust, trust_overrides


def _experiment_of(task: str, overrides: Sequence[str]) -> str:
    """Return the experiment that a task's runs belong to, before it is known of which method they are.

    Args:
        task: Task id.
        overrides: Hydra overrides.

    Raises:
        ZprlError: If there is no such task.
    """
    given = [text.partition("=")[2] for text in overrides if text.startswith("agent.experiment_name=")]
    return given[-1] if given else isaaclab.resolve_task(task, AGENT_ENTRY_POINT)[1].experiment_name


def find_checkpoint(selector: str, task: str, overrides: Sequence[str]) -> SteeringCheckpoint:
    """Read the checkpoint that ``latest`` or a path selects, of whatever method.

    It may name the classes that the task's configuration or the overrides name: those are the user's own words.

    Args:
        selector: "latest", or a file.
        task: Task id.
        overrides: Hydra overrides, which may name the experiment.

    Raises:
        ZprlError: If there is no such task or file, or it is no checkpoint.
    """
    experiment = _experiment_of(task, overrides) if selector == "latest" else ""
    path = resolve_checkpoint(selector, task, experiment)
    trust(class_to_dict(isaaclab.resolve_task(task, AGENT_ENTRY_POINT)[1]))
    trust_overrides(overrides)
    return load_checkpoint(path)


def resolve_checkpoint(selector: str, task: str, experiment_name: str) -> Path:
    """Return the file that ``latest`` or a path selects.

    Args:
        selector: "latest", or a file.
        task: Task id.
        experiment_name: Experiment of the task's runs.

    Raises:
        ZprlError: If there is no such file.
    """
    if selector == "latest":
        return latest_checkpoint(task, experiment_name)
    path = Path(selector)
    if not path.is_file():
        raise ZprlError(f"there is no checkpoint {path}; pass a file, or 'latest'.")
    return path


def resolve_base(path: Path | None, task: str) -> Path:
    """Return the base policy file that a path selects, or the newest one.

    Raises:
        ZprlError: If there is no such file.
    """
    if path is None:
        return latest_base_policy(task)
    if not path.is_file():
        raise ZprlError(f"there is no base policy {path}; train one with scripts/pretrain.py.")
    return path
