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
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from zprl.deploy.typed_json import read_typed
from zprl.envs.description import JointDescription
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write, checksum, load_json

if TYPE_CHECKING:
    from _typeshed import StrPath

FORMAT = "zprl-bundle"
VERSION = 2
GROUP_KINDS = {"state": "float32", "privileged": "float32", "image": None}
"""Kinds of groups of observations, and the dtype that a kind has; None for either."""

CONTRACT_FILE = "contract.json"
GOLDEN_FILE = "golden.npz"
_SEAL = b'{\n  "sha256": "'
NATIVE_FILE = "policy.zprl"


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
        return [_identifier(group.name) for group in groups]

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
            contract = read_typed(cls, values if values["version"] == VERSION else _upgraded(values))
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
    """Return a contract as ``contract.json`` holds it: with the SHA-256 of its own text, made with zeros in its place.

    Args:
        values: What :meth:`Contract.to_dict` returned.
    """
    text = json.dumps({"sha256": "0" * 64, **values}, indent=2, allow_nan=False).encode() + b"\n"
    return _SEAL + hashlib.sha256(text).hexdigest().encode() + text[len(_SEAL) + 64 :]


def _check_seal(path: Path) -> None:
    text = path.read_bytes()
    end = len(_SEAL) + 64
    if not text.startswith(_SEAL):
        raise ZprlError(f"the contract {path} does not begin with its checksum; export the policy again.")
    if hashlib.sha256(_SEAL + b"0" * 64 + text[end:]).hexdigest().encode() != text[len(_SEAL) : end]:
        raise ZprlError(f"the contract {path} was altered: its checksum does not match; copy the bundle again.")


def read_contract(folder: StrPath, verify: bool = True) -> Contract:
    """Read the contract of a bundle.

    Args:
        folder: The bundle.
        verify: Whether to compare the files with their checksums.

    Raises:
        ZprlError: If the folder is no bundle, its contract is damaged, or a file is missing, truncated or altered.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ZprlError(f"there is no bundle {folder}; give a folder that scripts/export.py wrote.")
    path = folder / CONTRACT_FILE
    if not path.is_file():
        raise ZprlError(f"the folder {folder} is no bundle, as it holds no {CONTRACT_FILE}; export the policy again.")
    values = load_json(path, "contract")
    sealed_itself = not isinstance(values, dict) or values.get("version") != 1 or "sha256" in values
    if sealed_itself:  # all but version 1
        _check_seal(path)
        del values["sha256"]
    contract = Contract.from_dict(values, str(path))
    if verify:
        for name in contract.files:
            verify_file(folder, contract, name)
    return contract


def verify_file(folder: Path, contract: Contract, name: str) -> Path:
    """Compare a file of a bundle with its checksum.

    Args:
        folder: The bundle.
        contract: Its contract.
        name: Name of the file.

    Returns:
        The file.

    Raises:
        ZprlError: If it is missing, truncated or altered.
    """
    path, expected = folder / name, contract.files[name]
    if not path.is_file():
        raise ZprlError(f"the bundle {folder} lacks its file {name}; copy it again.")
    size = path.stat().st_size
    if size != expected.size:
        raise ZprlError(f"{path} has {size} bytes instead of {expected.size}; copy the bundle again.")
    if checksum(path) != expected.sha256:
        raise ZprlError(f"{path} was altered: its checksum is not the contract's; copy the bundle again.")
    return path


def _identifier(name: str) -> str:
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return name if name.isidentifier() and not keyword.iskeyword(name) and name != "self" else f"_{name}"


@dataclass(frozen=True)
class _ObservationOfVersion1:
    size: int
    range_source: str | None
    terms: list[ObservationTerm]


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """What a contract of version 1 is in this version."""
    if "observation" not in values:
        raise ValueError("it lacks observation")
    old = read_typed(_ObservationOfVersion1, values["observation"], "observation")
    group = ObservationGroup("policy", "state", "float32", [old.size], 1, old.terms)
    observation = Observation(old.range_source, [group])
    return {**values, "version": VERSION, "observation": dataclasses.asdict(observation)}


_ELEMENTWISE = ("elements", "units", "minimum", "maximum", "mean", "std")


def _check_group(group: ObservationGroup) -> None:
    place = f"observation group {group.name}"
    if group.kind not in GROUP_KINDS:
        raise ValueError(f"{place} is of kind {group.kind!r}, not one of {', '.join(GROUP_KINDS)}")
    if group.dtype not in ("float32", "uint8") or GROUP_KINDS[group.kind] not in (None, group.dtype):
        raise ValueError(f"{place} has the dtype {group.dtype!r}, which is none of its kind {group.kind}")
    if not group.shape or min(group.shape) < 1 or group.history < 1:
        raise ValueError(f"{place} has a shape or a history that is not positive")
    is_image = group.kind == "image"
    if is_image and (len(group.features) != 1 or any(getattr(group.features[0], n) is not None for n in _ELEMENTWISE)):
        raise ValueError(f"{place} is an image, and has not one feature without lists of elements")
    if not is_image and len(group.shape) != 1:
        raise ValueError(f"{place} is of kind {group.kind}, and has a shape of more than one number")
    start = 0
    for term in group.features:
        place = f"observation term {term.name}"
        if term.start != start or term.size < 1:
            raise ValueError(f"{place} does not begin where the one before it ends")
        for name in _ELEMENTWISE:
            values = getattr(term, name)
            if values is not None and len(values) != term.size:
                raise ValueError(f"{place} has {len(values)} values in {name} instead of {term.size}")
        if (term.mean is None) != (term.std is None):
            raise ValueError(f"{place} has either a mean or a standard deviation")
        if term.std is not None and min(term.std) <= 0.0:
            raise ValueError(f"{place} has a standard deviation that is not positive")
        start += term.size
    if start != group.size:
        raise ValueError(f"the terms of observation group {group.name} have {start} elements instead of {group.size}")


def _check_latent(latent: Latent) -> None:
    if len(latent.mean) != latent.size or len(latent.std) != latent.size or latent.size < 1:
        raise ValueError(f"latent has not {latent.size} means and standard deviations")
    if min(latent.std) <= 0.0:
        raise ValueError("latent.std is not positive")


def _check(contract: Contract) -> None:
    """Check what types alone do not say."""
    names = [group.name for group in contract.observation.groups]
    if not names or len(set(contract.input_names)) != len(names):
        raise ValueError("observation.groups is empty or holds a name twice")
    for group in contract.observation.groups:
        _check_group(group)
    if not contract.action:
        raise ValueError("it has no action")
    for dimension in contract.action:
        low, high = dimension.low, dimension.high
        if low is not None and high is not None and not low < high:
            raise ValueError(f"action {dimension.name} has a lower limit that is not below the upper one")
    control = contract.control
    if not control.period > 0.0:
        raise ValueError("control.period is not positive")
    if not 1 <= control.execute_steps <= control.horizon:
        raise ValueError("control.execute_steps is not between 1 and control.horizon")
    noise = control.initial_noise
    if noise.rule not in ("zero", "fixed") or (noise.rule == "fixed") != (noise.values is not None):
        raise ValueError(f"control.initial_noise has the rule {noise.rule!r}, or values that do not belong to it")
    if noise.values is not None and [len(row) for row in noise.values] != [len(contract.action)] * control.horizon:
        raise ValueError("control.initial_noise.values has not the shape of a chunk")
    if contract.latent is not None:
        _check_latent(contract.latent)
    if contract.policy not in ("steered", "base"):
        raise ValueError(f"policy is {contract.policy!r}, neither steered nor base")
    for name, file in contract.files.items():
        if Path(name).name != name or name == CONTRACT_FILE:
            raise ValueError(f"files names {name!r}, which is no file beside the contract")
        if file.tolerance is not None and len(file.tolerance) != len(contract.action):
            raise ValueError(f"files.{name}.tolerance has {len(file.tolerance)} values")
