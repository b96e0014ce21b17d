# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A bundle as a checkpoint of LeRobot, which the package ``lerobot_policy_zprl`` runs there.

::

    config.json                 the policy's features, and where each part of the model's inputs stands in them
    model.safetensors           the ONNX model's bytes, as the tensor "onnx" of uint8
    policy_preprocessor.json    LeRobot's own steps around a policy that normalises by itself
    policy_postprocessor.json
    README.md                   what it is and how to run it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from zprl.data.lerobot.layout import ACTION, ENVIRONMENT_STATE, usual_key
from zprl.deploy.contract import Contract, read_contract, read_verified
from zprl.deploy.contract_parts import ObservationGroup
from zprl.deploy.formats import FORMATS
from zprl.spec import Feature, Group
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write
from zprl.utils.folders import atomic_folder

CONFIG, MODEL, README = "config.json", "model.safetensors", "README.md"
POLICY_TYPE = "zprl"
"""LeRobot's name for this kind of policy, and the key that tells its folders."""

_OBSERVATION = "observation."

_PREPROCESSOR = [
    {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
    {"registry_name": "to_batch_processor", "config": {}},
    {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}},
]
_POSTPROCESSOR = [{"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}}]

_README = """# {task}, steered

A policy that ZPRL steered and exported for [LeRobot](https://github.com/huggingface/lerobot) 0.6:

```bash
pip install lerobot_policy_zprl   # of the ZPRL repository, source/lerobot_policy_zprl
lerobot-rollout --policy.path=<this folder> ...
```

It reads {inputs} and gives {size} numbers as `action`, {rate:g} times per second. It plans {horizon} actions at a time,
executes {execute_steps} of them, and takes and gives raw values.
"""


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder is what :func:`save_checkpoint` wrote."""
    try:
        return json.loads((folder / CONFIG).read_bytes()).get("type") == POLICY_TYPE
    except (OSError, ValueError, AttributeError):
        return False


def save_checkpoint(bundle: Path, output: Path, places: Mapping[str, Sequence[str]] | None = None) -> Contract:
    """Write a bundle's policy as a checkpoint of LeRobot.

    Args:
        bundle: The bundle, which has the format onnx.
        output: Folder to make or to replace.
        places: LeRobot's keys, and the observation terms that stand there side by side, where they are not in their
            usual places; as ``agent.dataset_names.features``.

    Returns:
        The bundle's contract.

    Raises:
        ZprlError: If the bundle is damaged or lacks the format, LeRobot has no place for what the policy sees, or a
            place names a term that the policy does not see.
        OSError: If the folder cannot be written.
    """
    contract = read_contract(bundle, verify=False)
    model_file = FORMATS["onnx"].file
    if model_file not in contract.files:
        raise ZprlError(f"the bundle {bundle} has no format onnx, which LeRobot runs; export it with --format onnx.")
    content = read_verified(bundle, contract, model_file)
    config = policy_config(bundle, contract, places or {})
    config |= {"model_bytes": len(content), "model_sha256": hashlib.sha256(content).hexdigest()}
    tensor = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    readme = _README.format(
        task=contract.task,
        inputs=" and ".join(f"`{key}`" for key in config["input_features"]),
        size=contract.action_size,
        rate=1.0 / contract.control.period,
        horizon=contract.control.horizon,
        execute_steps=contract.control.execute_steps,
    )
    files = {
        CONFIG: _json(config),
        MODEL: save({"onnx": tensor}, {"format": "pt"}),
        "policy_preprocessor.json": _json({"name": "policy_preprocessor", "steps": _PREPROCESSOR}),
        "policy_postprocessor.json": _json({"name": "policy_postprocessor", "steps": _POSTPROCESSOR}),
        README: readme.encode(),
    }
    with atomic_folder(output) as place:
        for name, text in files.items():
            with atomic_write(place / name) as file:
                file.write(text)
    return contract


def policy_config(bundle: Path, contract: Contract, places: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what ``config.json`` says, without the model; see :func:`save_checkpoint`."""
    groups = contract.observation.groups
    for group in groups:
        problem = None
        if group.history > 1:
            problem = f"{group.history} control steps at once, where it is given the present alone"
        elif group.kind == "image" and (group.dtype != "uint8" or group.shape[2] not in (1, 3)):
            problem = f"{group.dtype} {group.shape[2]} times a pixel, and LeRobot's images are of 1 or 3 bytes a pixel"
        if problem is not None:
            raise ZprlError(f"the policy of the bundle {bundle} sees {group.name} as {problem}; it has no place there.")
    keys = _keys(bundle, groups, places)
    parts: dict[str, tuple[str, int, int]] = {}
    features: dict[str, dict[str, Any]] = {}
    for key, terms in keys.items():
        start = 0
        for group, name, size in terms:
            parts[name] = (key, start, start + size)
            start += size
            if group.kind == "image":
                height, width, channels = group.shape
                features[key] = {"type": "VISUAL", "shape": [channels, height, width]}
        if key not in features:
            features[key] = {"type": "ENV" if key == ENVIRONMENT_STATE else "STATE", "shape": [start]}
    inputs = {
        name: [dict(zip(("key", "start", "stop"), parts[term.name], strict=True)) for term in group.features]
        for name, group in zip(contract.input_names, groups, strict=True)
    }
    images = [name for name, group in zip(contract.input_names, groups, strict=True) if group.kind == "image"]
    return {
        "type": POLICY_TYPE,
        "n_obs_steps": 1,
        "input_features": features,
        "output_features": {ACTION: {"type": "ACTION", "shape": [contract.action_size]}},
        "device": "cpu",
        "task": contract.task,
        "period": contract.control.period,
        "horizon": contract.control.horizon,
        "execute_steps": contract.control.execute_steps,
        "model_inputs": inputs,
        "image_inputs": images,
    }


def _keys(
    bundle: Path, groups: Sequence[ObservationGroup], places: Mapping[str, Sequence[str]]
) -> dict[str, list[tuple[ObservationGroup, str, int]]]:
    """Return the terms that stand side by side under each key, with their groups and sizes."""
    terms = {term.name: (group, term.name, term.size) for group in groups for term in group.features}
    given = {name: key for key, names in places.items() for name in names}
    if sum(map(len, places.values())) != len(given):
        raise ZprlError("--features names a term in two places; name each once.")
    for name, key in given.items():
        if not key.startswith(_OBSERVATION):  # LeRobot hands a policy nothing else
            raise ZprlError(
                f"--features has the key {key}, and LeRobot's begin with {_OBSERVATION}; give it such a name."
            )
        if name not in terms:
            raise ZprlError(
                f"--features puts {name} under {key}, and the policy of the bundle {bundle} does not see it; it sees "
                f"{', '.join(terms)}."
            )
        if terms[name][0].kind == "image" and len(places[key]) > 1:
            raise ZprlError(f"--features puts the image {name} beside others under {key}; give it a key of its own.")
    keys = {key: [terms[name] for name in names] for key, names in places.items() if names}
    for name, (group, _, size) in terms.items():
        if name in given:
            continue
        shape = tuple(group.shape) if group.kind == "image" else (size,)
        feature = Feature(name, shape, group.kind, group.dtype)
        key = usual_key(Group(group.name, (feature,)), feature)
        if key in places:
            raise ZprlError(f"--features says what stands under {key}, and {name} is not among it; add it, or name it.")
        keys.setdefault(key, []).append(terms[name])
    return keys


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
