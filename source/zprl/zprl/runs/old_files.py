# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Files of older versions: checkpoints and base policies (``*.pt``) become files of this version.

Old files are read as tensors and plain values only: one that asks for anything else, such as code, is refused.
"""

from __future__ import annotations

import copy
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from zprl.policies import INFERENCE_FIELDS, load_policy, save_policy
from zprl.policies.flow.cfg import cfg_from_dict
from zprl.policies.io import restore_policy
from zprl.rl.checkpoint import RUN_BASE, base_reference, load_checkpoint
from zprl.rl.runner import KIND, VERSION
from zprl.spec import ActionTerm, Group, TaskSpec
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, existing_file
from zprl.utils.tensor_files import require_finite, save_tensors

_MOVED = {
    "zprl.policy.embedding:": "zprl.policies.flow.encoders:",
    "zprl.policy.velocity_field:": "zprl.policies.flow.velocity_field:",
}
"""Modules of classes that old files name, by where they are now."""

_GONE = {
    *("empirical_normalization", "resume", "load_run", "load_checkpoint", "share_cnn_encoders"),
    *("stochastic", "init_noise_std", "noise_std_type", "state_dependent_std"),
}
"""Settings of Isaac Lab's classes for rsl_rl that old runs recorded and that had no effect on them."""

_OLD_GROUP = "policy"
"""The observation group that policies of older versions saw."""

_OLD_TRACKED = "ee_pose"
"""The observation whose first three numbers older versions took as the position of the end effector."""


def convert(path: Path, output: Path | None = None) -> list[Path]:
    """Convert an old file and say what was done.

    A checkpoint becomes two files: the learner, ``model_N.safetensors``, and ``base/base_policy.safetensors`` beside
    it, which the run's other checkpoints share.

    Args:
        path: ``model_N.pt`` or ``base_policy.pt`` of an older version.
        output: Folder to write to; that of the old file if None.

    Returns:
        The files that were written or found.

    Raises:
        ZprlError: If the file is missing, damaged, no old file of this project, or holds more than tensors and plain
            values, or if a file to be written is already there and another one.
    """
    content = _read(path)
    folder = path.parent if output is None else output
    infos = content.get("infos")
    try:
        if content.get("format") == "zprl-base-policy":
            return [_write_base(content, folder / f"{path.stem}.safetensors", path)]
        if isinstance(infos, dict) and infos.get("format") == "zprl-steering-checkpoint":
            return _write_checkpoint(content, path, folder)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ZprlError(f"{path} is of a version that cannot be converted, or damaged ({error!r}).") from error
    raise ZprlError(f"{path} is neither a checkpoint nor a base policy of this project.")


def _read(path: Path) -> dict[str, Any]:
    """Read a file that an older version wrote by ``torch.save``, as tensors and plain values and nothing else."""
    path = existing_file(path, "file")
    try:
        if not zipfile.is_zipfile(path):  # the only form that older versions wrote; it excludes older pickles
            raise ZprlError(f"{path} is truncated or no file of an older version; give a model_N.pt or base_policy.pt.")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ZprlError(f"cannot read {path}: {error.strerror or error}.") from error
    except pickle.UnpicklingError as error:
        raise ZprlError(
            f"{path} holds more than tensors and plain values, so reading it could run code; it is not converted."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ZprlError(f"{path} is truncated or damaged; copy it again.") from error
    return content if isinstance(content, dict) else {}


def _write_checkpoint(old: dict[str, Any], path: Path, folder: Path) -> list[Path]:
    require_finite({name: value for name, value in old.items() if name != "infos"}, f"{path} holds")
    content = copy.copy(old)
    infos = content["infos"] = copy.copy(old["infos"])
    old_base, _ = infos.pop("base_policy"), infos.pop("format")
    base = _write_base(old_base, folder / RUN_BASE, path)
    settings = _renamed(infos["settings"])
    settings["inference"] = {name: old_base["cfg"][name] for name in INFERENCE_FIELDS}
    infos["settings"], infos["base"] = settings, base_reference(base)
    infos["spec"] = _spec(infos.pop("layout"), old_base["state_dict"]).to_dict()
    target = folder / f"{path.stem}.safetensors"
    if target.exists():
        raise ZprlError(f"{target} is already there; move it away or name another folder by --output.")
    save_tensors(target, content, KIND, VERSION)
    checkpoint = load_checkpoint(target)
    print(
        f"checkpoint: {path} -> {target} (method {checkpoint.method}, {checkpoint.algorithm.upper()}, "
        f"{checkpoint.env_steps:,} env steps)"
    )
    return [target, base]


def _write_base(old: dict[str, Any], target: Path, path: Path) -> Path:
    """Write the base policy that a file holds, unless the same one is there already."""
    if old["version"] != 1:
        raise ZprlError(f"the base policy in {path} has format version {old['version']}, which cannot be converted.")
    cfg = cfg_from_dict(_renamed(old["cfg"]))
    try:
        policy = restore_policy(cfg, old["obs_dim"], old["action_dim"], None, old["state_dict"])
    except (RuntimeError, ValueError) as error:
        raise ZprlError(f"the weights in {path} do not fit their configuration; it is damaged.") from error
    if target.exists():
        there, _ = load_policy(target)
        ours, theirs = policy.state_dict(), there.state_dict()
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name]) for name in ours):
            raise ZprlError(f"{target} is already there and another base policy; name another folder by --output.")
        print(f"base policy: {target} is there already")
        return target
    meta = copy.copy(old["meta"])
    meta["spec"] = _spec(meta.pop("layout"), old["state_dict"]).to_dict()
    save_policy(target, policy, meta)
    print(f"base policy: {path} -> {target} (SHA-256 {checksum(target)})")
    return target


def _spec(layout: dict[str, Any], weights: dict[str, Any]) -> TaskSpec:
    """Return what a policy sees and does from what older versions wrote of it.

    They left out the limits, which the policy has, and the idle action, which was always zero.
    """
    groups = (Group.vector(_OLD_GROUP, layout["observation_terms"]),)
    names = [name for name, _ in layout["observation_terms"]]
    low, high = weights["action_low"].tolist(), weights["action_high"].tolist()
    actions, start = [], 0
    for name, size in layout["action_terms"]:
        place = slice(start, start + size)
        actions.append(ActionTerm(name, tuple(low[place]), tuple(high[place]), (0.0,) * size))
        start += size
    tracked = (_OLD_TRACKED,) if _OLD_TRACKED in names else ()
    return TaskSpec(layout["task"], groups, tuple(actions), layout["step_dt"], tracked)


def _renamed(value: Any) -> Any:
    """Return settings in which classes have their present names, without what is gone."""
    if isinstance(value, dict):
        return {key: _renamed(item) for key, item in value.items() if key not in _GONE}
    if isinstance(value, list | tuple):
        return [_renamed(item) for item in value]
    for before, now in _MOVED.items():
        if isinstance(value, str) and value.startswith(before):
            return now + value.removeprefix(before)
    return value
