# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A run's checkpoints: what they hold beside the learner, and the base policy that they refer to."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zprl.policies import (
    IMPORTED_INFERENCE_FIELDS,
    INFERENCE_FIELDS,
    FlowPolicy,
    ImportedPolicy,
    load_any_policy,
    make_base_policy,
)
from zprl.policies.base import BasePolicy
from zprl.policies.flow.cfg import check_cfg
from zprl.policies.io import spec_of
from zprl.rl.methods import DEFAULT_ALGORITHM, DEFAULT_METHOD, steering_cfg
from zprl.rl.runner import KIND, VERSION
from zprl.spec import TaskSpec
from zprl.steering import Steering, make_steering
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write, checksum
from zprl.utils.registry import check_settings
from zprl.utils.tensor_files import OtherKindError, load_tensors, require_finite

RUN_BASE = "base/base_policy.safetensors"
"""Where a run keeps its base policy, below its folder."""


@dataclass
class SteeringCheckpoint:
    """A checkpoint of a run.

    Attributes:
        path: File it was read from.
        content: The whole content, as rsl_rl's ``alg.load`` takes it.
        spec: What the task observes and does.
        policy: The frozen base policy, with the inference settings that the run acted with.
        policy_meta: What was saved with the base policy.
        settings: The run's settings: agent configuration, worlds, physics.
        env_steps: Environment steps of the training so far.
        base: File of the base policy.
    """

    path: Path
    content: dict[str, Any]
    spec: TaskSpec
    policy: FlowPolicy | ImportedPolicy
    policy_meta: dict[str, Any]
    settings: dict[str, Any]
    env_steps: int
    base: Path

    @property
    def acting_spec(self) -> TaskSpec:
        """What of the task base policy and actor see, which is all that acting needs: the critic may see more."""
        if isinstance(self.policy, ImportedPolicy):
            seen_by_base = [group.name for group in spec_of(self.policy_meta, "the base policy").groups]
        else:
            seen_by_base = list(self.policy.cfg.observation_groups)
        names = (*seen_by_base, *self.settings["agent"]["obs_groups"]["actor"])
        known = {group.name for group in self.spec.groups}
        seen = dict.fromkeys(name for name in names if name in known)
        return self.spec.seen_by(seen) if seen else self.spec  # of a damaged file: what it says is refused by name

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

    def steering(self, base: BasePolicy | None = None) -> Steering:
        """Return the run's steering of a base policy as it is to be run, or of its own on the CPU.

        Raises:
            ZprlError: If this version does not know the method.
        """
        cfg = steering_cfg(self.method, self.settings["agent"]["steering"])
        return make_steering(cfg, base or make_base_policy(self.policy, self.policy_meta))


def base_reference(base: Path) -> dict[str, str]:
    """Return what a checkpoint says of its base policy: where its run keeps it, and its SHA-256."""
    return {"path": RUN_BASE, "sha256": checksum(base)}


def store_base(base: Path, run_dir: Path) -> None:
    """Copy a base policy's file into a run's folder, so that the run is complete in itself.

    Raises:
        OSError: If it cannot be written.
    """
    target = run_dir / RUN_BASE
    if target.is_file() and checksum(target) == checksum(base):
        return
    with atomic_write(target) as file:
        file.write(base.read_bytes())


def load_checkpoint(path: Path) -> SteeringCheckpoint:
    """Read a checkpoint and the base policy that its run keeps.

    Raises:
        ZprlError: If it is missing, truncated, damaged or no checkpoint of this project, names a class that is not
            registered, holds weights that are not finite, or its base policy is missing or another one.
    """
    try:
        content = load_tensors(path, KIND, "checkpoint", VERSION)
    except OtherKindError as error:
        hint = " (it is a base policy: pass it as --base)" if error.kind == "zprl-base-policy" else ""
        raise ZprlError(f"{path} is not a checkpoint of scripts/train.py{hint}.") from error
    try:
        require_finite(content, f"the checkpoint {path} holds")
        infos = content["infos"]
        settings = infos["settings"]
        check_settings(settings["agent"], f"the checkpoint {path}")
        _check_networks(settings["agent"], content)
        base = _base_of(path, infos["base"])
        policy, meta = load_any_policy(base)
        if isinstance(policy, ImportedPolicy):
            for name in IMPORTED_INFERENCE_FIELDS:
                setattr(policy, name, settings["inference"][name])
        else:
            for name in INFERENCE_FIELDS:
                setattr(policy.cfg, name, settings["inference"][name])
            check_cfg(policy.cfg)
        spec = spec_of(infos, f"the checkpoint {path}")
        return SteeringCheckpoint(path, content, spec, policy, meta, settings, int(infos["env_steps"]), base)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ZprlError(f"the checkpoint {path} is damaged ({error}); use another one.") from error


def _check_networks(agent: dict[str, Any], content: dict[str, Any]) -> None:
    """Check that a checkpoint holds as many numbers as its settings declare, before a network of that size is made.

    Raises:
        ValueError: If it holds fewer.
    """
    for model in ("actor", "critic"):
        cfg, weights = agent[model], content.get(f"{model}_state_dict", {})
        widths = cfg.get("hidden_dims") or cfg.get("std_hidden_dims") or []
        layers = sum(widths) + sum(a * b for a, b in itertools.pairwise(widths))  # biases, and weights between them
        declared = layers * cfg.get("num_members", 1)
        held = sum(tensor.numel() for tensor in weights.values())
        if weights and declared > held:
            raise ValueError(f"its {model} has at least {declared} weights by its settings, and it holds {held}")


def _base_of(checkpoint: Path, reference: dict[str, str]) -> Path:
    """Return the file of a checkpoint's base policy."""
    path, expected = checkpoint.parent / reference["path"], reference["sha256"]
    if not path.is_file():
        raise ZprlError(
            f"the checkpoint {checkpoint} needs its base policy {path}, which does not exist; put the file with the "
            f"SHA-256 {expected} there."
        )
    found = checksum(path)
    if found != expected:
        raise ZprlError(
            f"the checkpoint {checkpoint} was made with another base policy than {path}; put the file with the SHA-256 "
            f"{expected} there, not that with {found}."
        )
    return path
