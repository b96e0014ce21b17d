# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a study's folder of a task says about it: study.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zprl.study.grid import Run, Variant, expand
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump, load_json
from zprl.utils.strict_json import NUMBER, require_form

_VERSION = 1

_RECORD = {
    "variant": {
        **dict.fromkeys(("name", "label", "method", "algorithm"), str),
        **{"overrides": [str], "value": NUMBER | None},
    },
    **dict.fromkeys(("base", "base_checksum", "dataset"), str),
    **{"max_iterations": int, "settings": {}},
}

_FORM = {
    "name": str,
    "pinned": {
        **{"task": str, "device": str, "physics": str, "ablation": str | None},
        **{"number of worlds": int, "budget": int, "overrides": [str], "evaluated at": [int]},
    },
    "seeds": [int],
    "variants": [_RECORD],
    "commits": [str],
    "machine": {},
}
"""What study.json must hold."""

_ADDED = {"absent": [_RECORD], "command": str, "jobs": int, "launcher": str}
"""What it may hold beside that."""


@dataclass
class VariantRecord:
    """A variant as it was set up."""

    variant: Variant
    base: str
    """Path of the base policy that its runs share."""
    base_checksum: str
    """SHA-256 of that file."""
    dataset: str
    """Path of the demonstrations that the base policy was trained on."""
    max_iterations: int
    """Iterations of a run."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings that tell the variants apart, by name."""


@dataclass
class StudyManifest:
    """A study of a task: what its runs must have in common to be compared, and which runs there are."""

    name: str
    pinned: dict[str, Any]
    """What makes runs comparable, by the name of the option: task, budget, marks, overrides and the like."""
    variants: list[VariantRecord]
    seeds: list[int]
    """Seeds of reinforcement learning."""
    absent: list[VariantRecord] = field(default_factory=list)
    """Variants of earlier calls that this one leaves out, whose runs are kept."""
    commits: list[str] = field(default_factory=list)
    """Commits of this project that runs were started from, oldest first."""
    command: str = ""
    """Command line that started the study last."""
    jobs: int = 1
    """Runs at once, which the minutes depend on."""
    machine: dict[str, Any] = field(default_factory=dict)
    """What :func:`zprl.profiling.machine.describe_machine` returns."""
    launcher: str = "local"
    """What started the runs, one of :data:`zprl.study.launchers.LAUNCHERS`."""

    @property
    def task(self) -> str:
        """Task id."""
        return self.pinned["task"]

    @property
    def marks(self) -> list[int]:
        """Environment steps at which every run is evaluated."""
        return self.pinned["evaluated at"]

    @property
    def runs(self) -> list[Run]:
        """All runs, in the order in which they are started."""
        return expand([record.variant for record in self.variants], self.seeds)

    def join(self, earlier: StudyManifest, folder: Path) -> None:
        """Take over what an earlier call left in the study's folder, if this study's runs may join those.

        Raises:
            ZprlError: If they would not be comparable.
        """
        ours, theirs = self._comparable(), earlier._comparable()
        for name in sorted(ours.keys() & theirs.keys()):
            if ours[name] != theirs[name]:
                raise ZprlError(
                    f"the study in {folder} was begun with {name} {theirs[name]}, not {ours[name]}; use the same, or "
                    "choose another --name."
                )
        present = {record.variant.name for record in self.variants}
        self.absent = [r for r in (*earlier.variants, *earlier.absent) if r.variant.name not in present]
        self.commits = list(dict.fromkeys(earlier.commits + self.commits))

    def _comparable(self) -> dict[str, Any]:
        values = dict(self.pinned)
        for record in (*self.variants, *self.absent):
            name = record.variant.name
            values[f"{name}'s overrides"] = list(record.variant.overrides)
            values[f"{name}'s base policy (SHA-256)"] = record.base_checksum
            # Defaults may have changed with the code.
            values |= {f"{name}'s {setting}": value for setting, value in record.settings.items()}
        return values

    def save(self, folder: Path) -> None:
        """Write ``study.json``."""
        atomic_json_dump({"version": _VERSION, **asdict(self)}, folder / "study.json")


def load_manifest(folder: Path) -> StudyManifest:
    """Read the manifest in a study's folder.

    Raises:
        ZprlError: If there is none, or it is of another version or damaged.
    """
    values = load_json(folder / "study.json", "study")
    try:
        if values.pop("version") != _VERSION:
            raise ZprlError(f"the study in {folder} is of another version of this project; choose another --name.")
        require_form(values, {**_FORM, **{name: form for name, form in _ADDED.items() if name in values}})
        lists = {name: [_record(entry) for entry in values.pop(name, [])] for name in ("variants", "absent")}
        return StudyManifest(**lists, **values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ZprlError(f"the study in {folder} has a damaged study.json ({error}); choose another --name.") from error


def _record(entry: dict[str, Any]) -> VariantRecord:
    variant = entry.pop("variant")
    return VariantRecord(Variant(**{**variant, "overrides": tuple(variant["overrides"])}), **entry)
