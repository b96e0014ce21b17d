# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a run's checkpoint holds beside the learner: everything that evaluation, export and continuing need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zprl.policies import FlowPolicy, PolicyStep, TorchPolicyStep, policy_from_dict
from zprl.rl.methods import DEFAULT_ALGORITHM, DEFAULT_METHOD, steering_cfg
from zprl.runs.paths import latest_base_policy, latest_checkpoint
from zprl.runs.session import AGENT_ENTRY_POINT
from zprl.sim import isaaclab
from zprl.spec import EnvLayout
from zprl.steering import Steering, make_steering
from zprl.utils.errors import ZprlError
from zprl.utils.files import load_torch

FORMAT = "zprl-steering-checkpoint"


@dataclass
class SteeringCheckpoint:
    """A checkpoint of a run.

    Attributes:
        path: File it was read from.
        content: The whole content, as rsl_rl's ``alg.load`` takes it.
        layout: Layout of the task.
        policy: The frozen base policy.
        policy_meta: What was saved with the base policy.
        settings: The run's settings: agent configuration, worlds, physics.
        env_steps: Environment steps of the training so far.
    """

    path: Path
    content: dict[str, Any]
    layout: EnvLayout
    policy: FlowPolicy
    policy_meta: dict[str, Any]
    settings: dict[str, Any]
    env_steps: int

    @property
    def method(self) -> str:
        """Name of the run's method."""
        return self.settings["agent"].get("method", DEFAULT_METHOD)

    @property
    def algorithm(self) -> str:
        """Name of the run's learner."""
        return self.settings["agent"].get("algo", DEFAULT_ALGORITHM)

    @property
    def num_processes(self) -> int:
        """Number of processes that the run learns in."""
        return self.settings.get("num_processes", 1)

    def steering(self, step: PolicyStep | None = None) -> Steering:
        """Return the run's steering.

        Args:
            step: What runs the base policy; torch on the CPU if None.

        Raises:
            ZprlError: If this version does not know the method.
        """
        cfg = steering_cfg(self.method, self.settings["agent"]["steering"])
        return make_steering(cfg, step or TorchPolicyStep(self.policy), self.policy_meta)


def load_checkpoint(path: Path) -> SteeringCheckpoint:
    """Read a checkpoint.

    Args:
        path: File to read.

    Raises:
        ZprlError: If it is missing, truncated, or no checkpoint of this project.
    """
    content = load_torch(path, "checkpoint")
    infos = content.get("infos") if isinstance(content, dict) else None
    if not isinstance(infos, dict) or infos.get("format") != FORMAT:
        hint = " (it is a base policy: pass it as --base)" if _is_base_policy(content) else ""
        raise ZprlError(f"{path} is not a checkpoint of scripts/train.py{hint}.")
    try:
        policy, meta = policy_from_dict(infos["base_policy"], path)
        layout = EnvLayout.from_dict(infos["layout"])
        return SteeringCheckpoint(path, content, layout, policy, meta, infos["settings"], int(infos["env_steps"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ZprlError(f"the checkpoint {path} is damaged ({error}); use another one.") from error


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

    Args:
        selector: "latest", or a file.
        task: Task id.
        overrides: Hydra overrides, which may name the experiment.

    Raises:
        ZprlError: If there is no such task or file, or it is no checkpoint.
    """
    experiment = _experiment_of(task, overrides) if selector == "latest" else ""
    return load_checkpoint(resolve_checkpoint(selector, task, experiment))


def _is_base_policy(content: Any) -> bool:
    return isinstance(content, dict) and content.get("format") == "zprl-base-policy"


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


def resolve_base(selector: str | None, task: str) -> Path:
    """Return the base policy file that a path selects, or the newest one.

    Raises:
        ZprlError: If there is no such file.
    """
    if selector is None:
        return latest_base_policy(task)
    path = Path(selector)
    if not path.is_file():
        raise ZprlError(f"there is no base policy {path}; train one with scripts/pretrain.py.")
    return path
