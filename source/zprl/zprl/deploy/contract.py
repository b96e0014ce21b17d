# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The contract of a bundle: everything that a robot has to know about an exported policy.

``contract.json`` is the JSON form of :class:`Contract`; its docstrings and those of its parts in
:mod:`zprl.deploy.contract_parts` are the documentation.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import keyword
import os
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zprl.deploy.contract_parts import (
    ActionDimension,
    BundleFile,
    Control,
    Latent,
    Observation,
    ObservationGroup,
    ObservationTerm,
    Provenance,
)
from zprl.envs.description import JointDescription
from zprl.utils.errors import ZprlError
from zprl.utils.files import MAX_JSON, atomic_write, decode_json, read_file
from zprl.utils.outputs import check_unclaimed

FORMAT = "zprl-bundle"
VERSION = 2
GROUP_KINDS = {"state": "float32", "privileged": "float32", "image": None}
"""Kinds of groups of observations, and the dtype that a kind has; None for either."""

CONTRACT_FILE = "contract.json"
GOLDEN_FILE = "golden.npz"
_SEAL = b'{\n  "sha256": "'

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FILE_NAME = re.compile(r"[^./\\\0][^/\\\0]*")
_MAX_SIZE, _MAX_HORIZON = 1 << 16, 1 << 12  # far above any policy; csrc/runtime/bundle.cpp has the same


@dataclass(frozen=True)
class Contract:
    """The whole contract."""

    format: str
    """Always "zprl-bundle"."""

    version: int
    """Version of the bundle; it changes when an older reader would misread a newer bundle. Version 1, whose observation
    is one vector without a name, is read as version 2 with one state group ``policy``."""

    task: str
    """Task id."""

    policy: str
    """"steered" or "base"."""

    observation: Observation
    """What goes in: raw observations, by group."""

    action: list[ActionDimension]
    """What comes out: action chunks (N, H, A), float32, by dimension."""

    control: Control
    """When the policy is asked, and what is done with its answer."""

    joints: list[JointDescription]
    """Joints of the robot, in the order of joint observations; empty for a task without one."""

    latent: Latent | None
    """The latent that is steered; null for a policy without one."""

    provenance: Provenance
    """How the policy was made."""

    evaluation: dict[str, Any] | None
    """What the training run's result.json says, without its history; null if there is none."""

    files: dict[str, BundleFile]
    """Files of the bundle but this one, by name."""

    @property
    def action_size(self) -> int:
        """Number of action dimensions A."""
        return len(self.action)

    @property
    def state_group(self) -> ObservationGroup:
        """The only group of observations, of what runs on one vector (N, D), float32.

        Raises:
            ZprlError: If there are others, or it is no state group.
        """
        groups = self.observation.groups
        if len(groups) != 1 or groups[0].kind != "state":
            named = ", ".join(f"{group.name} ({group.kind})" for group in groups)
            raise ZprlError(f"the policy reads the observations {named}, and this runs policies of one state group.")
        return groups[0]

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs of the exported files, one per group: ``obs`` where there is one vector alone.

        Otherwise they are the groups' names, with an underscore in place of what no program takes for a name.
        """
        groups = self.observation.groups
        if len(groups) == 1 and groups[0].kind != "image":
            return ["obs"]
        names = [re.sub(r"\W", "_", group.name, flags=re.ASCII) for group in groups]
        return [n if n.isidentifier() and not keyword.iskeyword(n) and n != "self" else f"_{n}" for n in names]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Any, where: str = CONTRACT_FILE) -> Contract:
        """Read and check what :meth:`to_dict` wrote.

        Args:
            values: Decoded JSON.
            where: File that it comes from, for the error message.

        Raises:
            ZprlError: If it is no contract, of another version, lacks a field, or holds one that does not fit.
        """
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ZprlError(
                f"{where} is not the contract of a ZPRL bundle; give a folder that scripts/export.py wrote."
            )
        if values.get("version") not in (1, VERSION) or isinstance(values["version"], bool):
            raise ZprlError(
                f"{where} has version {values.get('version')}, and this ZPRL reads versions 1 and {VERSION}; export "
                "the policy again or install a matching version."
            )
        try:
            contract = _read_typed(cls, values if values["version"] == VERSION else _upgraded(values))
            _check(contract)
        except ValueError as error:
            raise ZprlError(f"{where} is damaged: {error}; export the policy again.") from error
        return contract


def write_contract(folder: Path, contract: Contract) -> None:
    """Check a contract and write it into a bundle's folder."""
    Contract.from_dict(contract.to_dict())
    with atomic_write(folder / CONTRACT_FILE) as file:
        file.write(sealed(contract.to_dict()))


def sealed(values: dict[str, Any]) -> bytes:
    """Return what :meth:`Contract.to_dict` returned as ``contract.json`` holds it.

    It begins with the SHA-256 of its own text, made with zeros in its place.
    """
    text = json.dumps({"sha256": "0" * 64, **values}, indent=2, allow_nan=False).encode() + b"\n"
    return _SEAL + hashlib.sha256(text).hexdigest().encode() + text[len(_SEAL) + 64 :]


def _check_seal(text: bytes, path: Path) -> None:
    end = len(_SEAL) + 64
    if not text.startswith(_SEAL):
        raise ZprlError(f"the contract {path} does not begin with its checksum; export the policy again.")
    if hashlib.sha256(_SEAL + b"0" * 64 + text[end:]).hexdigest().encode() != text[len(_SEAL) : end]:
        raise ZprlError(f"the contract {path} was altered: its checksum does not match; copy the bundle again.")


def read_contract(folder: str | os.PathLike[str], verify: bool = True) -> Contract:
    """Read the contract of a bundle, and with ``verify`` compare its files with their checksums.

    Raises:
        ZprlError: If the folder is no bundle, its contract is damaged, or a file is missing, truncated or altered.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ZprlError(f"there is no bundle {folder}; give a folder that scripts/export.py wrote.")
    path = folder / CONTRACT_FILE
    if not path.exists():
        raise ZprlError(f"the folder {folder} is no bundle, as it holds no {CONTRACT_FILE}; export the policy again.")
    text = read_file(path, "contract", MAX_JSON)
    values = decode_json(text, path, "contract")
    sealed_itself = not isinstance(values, dict) or values.get("version") != 1 or "sha256" in values
    if sealed_itself:  # all but version 1
        _check_seal(text, path)
        del values["sha256"]
    contract = Contract.from_dict(values, str(path))
    for name in contract.files:
        if verify:
            read_verified(folder, contract, name)
        elif (folder / name).exists():  # also what is not read belongs to the bundle
            check_unclaimed(folder / name, "bundle's file")
    return contract


def read_verified(folder: Path, contract: Contract, name: str) -> bytes:
    """Return the content of a bundle's file, once it is compared with its checksum.

    Raises:
        ZprlError: If it is missing, truncated or altered.
    """
    path, expected = folder / name, contract.files[name]
    if not path.is_file():
        raise ZprlError(f"the bundle {folder} lacks its file {name}; copy it again.")
    size = path.stat().st_size
    if size != expected.size:
        raise ZprlError(f"{path} has {size} bytes instead of {expected.size}; copy the bundle again.")
    content = read_file(path, "file")
    if hashlib.sha256(content).hexdigest() != expected.sha256:
        raise ZprlError(f"{path} was altered: its checksum is not the contract's; copy the bundle again.")
    return content


def _read_typed(kind: Any, value: Any, path: str = "") -> Any:
    """Read decoded JSON as a dataclass, strictly: every field is there, none is unknown, and each has its type.

    A field with a default may be missing.

    Args:
        kind: A dataclass, list, dict with string keys, Any, float, int, str, or one of them or None.
        value: The decoded JSON. A float must be one that float32 holds, and a whole number may stand for it.
        path: Where the value comes from, for the error message.

    Raises:
        ValueError: If it does not fit; the message says where.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise ValueError(f"{path} is not a group of fields")
        hints = typing.get_type_hints(kind)
        prefix = f"{path}." if path else ""
        optional = {f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}
        missing = [name for name in hints if name not in value and name not in optional]
        for problem, names in (("lacks", missing), ("holds the unknown", sorted(value.keys() - hints))):
            if names:
                raise ValueError(f"it {problem} {prefix}{names[0]}")
        there = {name: hint for name, hint in hints.items() if name in value}
        return kind(**{name: _read_typed(hint, value[name], prefix + name) for name, hint in there.items()})
    if origin is types.UnionType:  # the only one is with None
        (kind,) = (argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else _read_typed(kind, value, path)
    if origin is list and isinstance(value, list):
        return [_read_typed(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {str(name): _read_typed(arguments[1], item, f"{path}.{name}") for name, item in value.items()}
    is_bool = isinstance(value, bool)
    if kind is Any or (kind in (int, str) and isinstance(value, kind) and not is_bool):
        return value
    if kind is float and isinstance(value, int | float) and not is_bool and abs(value) <= _FLOAT32_MAX:
        return float(value)
    short = isinstance(value, bool | int | float | None) or (isinstance(value, str) and len(value) < 40)
    raise ValueError(f"{path} does not fit ({value!r})" if short else f"{path} does not fit")


@dataclass(frozen=True)
class _ObservationOfVersion1:
    size: int
    range_source: str | None
    terms: list[ObservationTerm]


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """What a contract of version 1 is in this version."""
    if "observation" not in values:
        raise ValueError("it lacks observation")
    old = _read_typed(_ObservationOfVersion1, values["observation"], "observation")
    group = ObservationGroup("policy", "state", "float32", [old.size], 1, old.terms)
    observation = Observation(old.range_source, [group])
    return {**values, "version": VERSION, "observation": dataclasses.asdict(observation)}


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _check(contract: Contract) -> None:
    """Check what types alone do not say."""
    names = [group.name for group in contract.observation.groups]
    _require(
        bool(names) and len(set(contract.input_names)) == len(names),
        "observation.groups is empty or holds a name twice",
    )
    for group in contract.observation.groups:
        _check_group(group)
    _require(bool(contract.action), "it has no action")
    for d in contract.action:
        # As float32, as which robots compute with them.
        ordered = d.low is None or d.high is None or bool(np.float32(d.low) < np.float32(d.high))
        _require(ordered, f"action {d.name} has a lower limit that is not below the upper one")
        _require(d.max_change is None or d.max_change >= 0.0, f"action {d.name} has a negative max_change")
    control, noise, latent = contract.control, contract.control.initial_noise, contract.latent
    _require(control.period > 0.0, "control.period is not positive")
    _require(control.horizon <= _MAX_HORIZON, f"control.horizon is more than {_MAX_HORIZON}")
    steps = control.execute_steps
    _require(1 <= steps <= control.horizon, "control.execute_steps is not between 1 and control.horizon")
    _require(
        noise.rule in ("zero", "fixed") and (noise.rule == "fixed") == (noise.values is not None),
        f"control.initial_noise has the rule {noise.rule!r}, or values that do not belong to it",
    )
    shape = None if noise.values is None else [len(row) for row in noise.values]
    chunk = [len(contract.action)] * control.horizon
    _require(shape in (None, chunk), "control.initial_noise.values has not the shape of a chunk")
    if latent is not None:
        fits = len(latent.mean) == len(latent.std) == latent.size and 1 <= latent.size <= _MAX_SIZE
        _require(fits, f"latent has not {latent.size} means and standard deviations")
        _require(_are_positive(latent.std), "latent.std is not positive")
    _require(contract.policy in ("steered", "base"), f"policy is {contract.policy!r}, neither steered nor base")
    for name, file in contract.files.items():
        beside = _FILE_NAME.fullmatch(name) is not None and name != CONTRACT_FILE
        _require(beside, f"files names {name[:40]!r}, which is no file beside the contract")
        _require(file.size >= 0, f"files.{name}.size is negative")
        if file.tolerance is not None:
            complete = len(file.tolerance) == len(contract.action)
            _require(complete, f"files.{name}.tolerance has {len(file.tolerance)} values")


def _are_positive(values: list[float]) -> bool:
    """Whether all are also as float32, in which a small number is 0."""
    return bool((np.asarray(values, dtype=np.float32) > 0.0).all())


def _check_group(group: ObservationGroup) -> None:
    place, kind = f"observation group {group.name}", group.kind
    _require(kind in GROUP_KINDS, f"{place} is of kind {kind!r}, not one of {', '.join(GROUP_KINDS)}")
    fits = group.dtype in ("float32", "uint8") and GROUP_KINDS[kind] in (None, group.dtype)
    _require(fits, f"{place} has the dtype {group.dtype!r}, which is none of its kind {kind}")
    sizes = [*group.shape, group.history]
    _require(len(sizes) > 1 and min(sizes) >= 1, f"{place} has a shape or a history that is not positive")
    _require(len(sizes) <= 5 and max(sizes) <= _MAX_SIZE, f"{place} has a shape or a history above {_MAX_SIZE}")
    elementwise = ("elements", "units", "minimum", "maximum", "mean", "std")
    if kind == "image":
        bare = len(group.features) == 1 and all(getattr(group.features[0], name) is None for name in elementwise)
        _require(bare, f"{place} is an image, and has not one feature without lists of elements")
        camera = group.camera
        if camera is not None:
            whole = len(camera.position) == 3 and len(camera.quaternion) == 4 and camera.content in ("rgb", "depth")
            _require(whole, f"{place} has a camera without 3 numbers of position and 4 of quaternion, or of no content")
    else:
        _require(group.camera is None, f"{place} has a camera, and is no image")
        _require(len(group.shape) == 1, f"{place} is of kind {kind}, and has a shape of more than one number")
    start = 0
    for term in group.features:
        part = f"observation term {term.name}"
        _require(term.start == start and term.size >= 1, f"{part} does not begin where the one before it ends")
        for name in elementwise:
            values = getattr(term, name)
            if values is not None:
                _require(len(values) == term.size, f"{part} has {len(values)} values in {name} instead of {term.size}")
        _require((term.mean is None) == (term.std is None), f"{part} has either a mean or a standard deviation")
        positive = term.std is None or _are_positive(term.std)
        _require(positive, f"{part} has a standard deviation that is not positive")
        start += term.size
    _require(start == group.size, f"the terms of {place} have {start} elements instead of {group.size}")
