# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Import of LeRobot's policies, in an environment where LeRobot is installed.

The seams are private names of LeRobot, so the versions that this was written against are pinned, and what is recorded
is compared with the library's own calls before a file is written. Every type of policy has an adapter of its own.
"""

from __future__ import annotations

import importlib.metadata

import torch

from zprl.policies.imported.lerobot.act import Act
from zprl.policies.imported.lerobot.checkpoint import ACTION, POST, PRE, Checkpoint, TrainingData, require_lerobot
from zprl.policies.imported.lerobot.diffusion import Diffusion
from zprl.policies.imported.lerobot.library import Library, Scale
from zprl.policies.imported.policy import ImportedPolicy, Input, Interface
from zprl.policies.imported.program import record
from zprl.utils.files import checksum

_FAMILIES = {"diffusion": Diffusion, "act": Act}


def import_policy(
    checkpoint: Checkpoint, data: TrainingData, steps: int | None = None, unnormalised: bool = False
) -> ImportedPolicy:
    """Record a policy and compare it with the library's own calls.

    Args:
        checkpoint: The checkpoint.
        data: What it was trained on.
        steps: Number of steps to sample by, or None for that of the checkpoint.
        unnormalised: Whether inputs that the checkpoint does not normalise are let through.

    Raises:
        NotInstalledError: If LeRobot is not installed.
        ZprlError: If the checkpoint cannot be imported, or what was recorded acts otherwise than LeRobot.
    """
    family = _FAMILIES[checkpoint.family](checkpoint, steps)
    for key in checkpoint.keys:
        checkpoint.transform(key, unnormalised)
    version = require_lerobot()
    library = Library(checkpoint, family, unnormalised)
    parts, config = family.parts(library), library.policy.config
    interface = Interface(
        inputs=tuple(Input(key, config.input_features[key].shape[0]) for key in library.keys),
        action_size=config.action_feature.shape[0],
        history=parts.history,
        frequency=data.frequency,
        horizon=parts.horizon,
        first=parts.first,
        execute_steps=config.n_action_steps,
        embedding_size=parts.embedding_size,
        task=data.task,
        features=data.features,
    )
    shape, what = (interface.horizon, interface.action_size), f"the policy {checkpoint.path}"
    windows = [torch.zeros(3, interface.history, value.size) for value in interface.inputs]
    chunk, condition = torch.zeros(3, *shape), torch.zeros(3, interface.embedding_size)
    programs = {
        "embed": record(parts.embed, windows, what),
        "denoise": record(parts.denoise, [chunk, torch.zeros(3, dtype=torch.long), condition], what),
        "normalize": record(Scale(library.transforms[ACTION], inverse=False), [chunk], what),
        "finish": record(Scale(library.transforms[ACTION], inverse=True), [chunk], what),
    }
    source = {
        "framework": "lerobot",
        "version": version,
        "family": checkpoint.family,
        "path": str(checkpoint.path),
        "sha256": checksum(checkpoint.path / "model.safetensors"),
        "processors": {name: checksum(checkpoint.path / name) for name in (PRE, POST)},
        "sampler": parts.described,
        "license": str(checkpoint.config.get("license") or "not said"),
        "packages": {name: importlib.metadata.version(name) for name in family.packages},
    }
    fixed = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    policy = ImportedPolicy(interface, programs, parts.sampler, source, {}, fixed)
    policy.parity = library.compare(policy)
    return policy
