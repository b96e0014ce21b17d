# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The contract of a bundle: everything that a robot has to know about an exported policy.

``contract.json`` is the JSON form of :class:`Contract`; its docstrings and those of its parts in
:mod:`zprl.deploy.contract_parts` are the documentation.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.deploy.contract_parts import ActionDimension, BundleFile, Control, Joint, Latent, Observation, Provenance
from zprl.deploy.typed_json import read_typed
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump, checksum, load_json

if TYPE_CHECKING:
    from _typeshed import StrPath

FORMAT = "zprl-bundle"
VERSION = 1
CONTRACT_FILE = "contract.json"
GOLDEN_FILE = "golden.npz"
NATIVE_FILE = "policy.zprl"


@dataclass(frozen=True)
class Contract:
    """The whole contract."""

    format: str
    """Always "zprl-bundle"."""

    version: int
    """Version of the bundle; it changes when an older reader would misread a newer bundle."""

    task: str
    """Task id."""

    policy: str
    """"steered" or "base"."""

    observation: Observation
    """What goes in: raw observations (N, D), float32."""

    action: list[ActionDimension]
    """What comes out: action chunks (N, H, A), float32, by dimension."""

    control: Control
    """When the policy is asked, and what is done with its answer."""

    joints: list[Joint]
    """Joints of the robot, in the order of joint observations; empty for a task without one."""

    latent: Latent
    """The latent that is steered."""

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
        if values.get("version") != VERSION:
            raise ZprlError(
                f"{where} has version {values.get('version')}, and this ZPRL reads version {VERSION}; export the "
                "policy again or install a matching version."
            )
        try:
            contract = read_typed(cls, values)
            _check(contract)
        except ValueError as error:
            raise ZprlError(f"{where} is damaged: {error}; export the policy again.") from error
        return contract


def write_contract(folder: Path, contract: Contract) -> None:
    """Check a contract and write it into a bundle's folder."""
    Contract.from_dict(contract.to_dict())
    atomic_json_dump(contract.to_dict(), folder / CONTRACT_FILE)


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
    contract = Contract.from_dict(load_json(path, "contract"), str(path))
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


def _check(contract: Contract) -> None:
    """Check what types alone do not say."""
    start = 0
    for term in contract.observation.terms:
        place = f"observation term {term.name}"
        if term.start != start or term.size < 1:
            raise ValueError(f"{place} does not begin where the one before it ends")
        for name in ("elements", "units", "minimum", "maximum", "mean", "std"):
            values = getattr(term, name)
            if values is not None and len(values) != term.size:
                raise ValueError(f"{place} has {len(values)} values in {name} instead of {term.size}")
        if min(term.std) <= 0.0:
            raise ValueError(f"{place} has a standard deviation that is not positive")
        start += term.size
    if start != contract.observation.size or not start:
        raise ValueError(f"the observation terms have {start} elements instead of {contract.observation.size}")
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
    if len(contract.latent.mean) != contract.latent.size or len(contract.latent.std) != contract.latent.size:
        raise ValueError(f"latent has not {contract.latent.size} means and standard deviations")
    if min(contract.latent.std) <= 0.0:
        raise ValueError("latent.std is not positive")
    if contract.policy not in ("steered", "base"):
        raise ValueError(f"policy is {contract.policy!r}, neither steered nor base")
    for name, file in contract.files.items():
        if Path(name).name != name or name == CONTRACT_FILE:
            raise ValueError(f"files names {name!r}, which is no file beside the contract")
        if file.tolerance is not None and len(file.tolerance) != len(contract.action):
            raise ValueError(f"files.{name}.tolerance has {len(file.tolerance)} values")
