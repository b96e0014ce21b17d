# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A checkpoint of LeRobot, looked at without LeRobot, and the version of LeRobot that it can be imported with."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from zprl.utils.errors import NotInstalledError, ZprlError
from zprl.utils.files import load_json, reading
from zprl.utils.strict_json import NUMBER, require_form
from zprl.utils.tensor_files import load_weights

VERSIONS = ("0.6.1",)
"""Versions of LeRobot that this adapter was tested with."""

PRE, POST = "policy_preprocessor.json", "policy_postprocessor.json"
STATE, ENVIRONMENT_STATE, ACTION = "observation.state", "observation.environment_state", "action"

FAMILIES = ("diffusion", "act")
"""Types of policies that are imported."""

_STEPS = {
    PRE: ["rename_observations_processor", "to_batch_processor", "device_processor", "normalizer_processor"],
    POST: ["unnormalizer_processor", "device_processor"],
}
"""What the processors of such a checkpoint do, in order; another list is refused."""

_CONFIG = {"input_features": {}, "output_features": {}}

_STATISTICS = {"MIN_MAX": ("min", "max"), "MEAN_STD": ("mean", "std")}
"""Statistics that a way of normalising needs."""


class Checkpoint:
    """A checkpoint of LeRobot, looked at without LeRobot.

    Args:
        path: Folder ``pretrained_model`` of a run of ``lerobot-train``, or that of the checkpoint around it.

    Raises:
        ZprlError: If it is no such checkpoint, of a family that is not imported, or lacks its processors.
    """

    def __init__(self, path: Path) -> None:
        inside = path / "pretrained_model"
        self.path = inside if inside.is_dir() else path
        if not (self.path / "config.json").is_file() or not (self.path / "model.safetensors").is_file():
            raise ZprlError(
                f"{path} is no checkpoint of LeRobot: it lacks config.json or model.safetensors; give the folder "
                "pretrained_model that lerobot-train wrote."
            )
        self.config: dict[str, Any] = load_json(self.path / "config.json", "configuration of LeRobot", {"type": str})
        self.family: str = self.config["type"]
        if self.family not in FAMILIES:
            self.fail(f"is a policy of the type {self.family[:40]}, and imported are {', '.join(FAMILIES)}")
        for file in (PRE, POST):
            if not (self.path / file).is_file():
                self.fail(
                    f"lacks {file}, in which LeRobot keeps what normalises a policy's inputs and outputs; without it "
                    "the policy would act on other units: convert it by LeRobot's migrate_policy_normalization"
                )

        self._check()

    @property
    def keys(self) -> list[str]:
        """What is normalised: the inputs in the order of the condition, and the actions."""
        return [key for key in (STATE, ENVIRONMENT_STATE) if key in self.config["input_features"]] + [ACTION]

    def _check(self) -> None:
        """Refuse what is not imported, by the policy's configuration."""
        with reading(self.path / "config.json", "configuration of LeRobot"):
            require_form(self.config, _CONFIG)
            for side in ("input_features", "output_features"):
                require_form(self.config[side], {key: {"type": str, "shape": [int]} for key in self.config[side]}, side)
        seen = self.config["input_features"]
        if images := [key for key, feature in seen.items() if feature["type"] == "VISUAL"]:
            self.fail(f"sees the images {', '.join(images)}, and only policies that see states are imported")
        if odd := [key for key in seen if key not in (STATE, ENVIRONMENT_STATE)]:
            self.fail(f"sees {odd[0]}, and imported are {STATE} and {ENVIRONMENT_STATE}")
        if STATE not in seen or ACTION not in self.config["output_features"]:
            self.fail(f"does not see {STATE} or does not put out {ACTION}")

    def data_folder(self) -> Path | None:
        """Return the data set that it was trained on, if its training says and it is there."""
        if not (self.path / "train_config.json").is_file():
            return None
        training = load_json(self.path / "train_config.json", "training configuration of LeRobot", {})
        root = (training.get("dataset") or {}).get("root")
        return Path(root) if isinstance(root, str) and (Path(root) / "meta/info.json").is_file() else None

    def transform(self, key: str, unnormalised: bool = False) -> dict[str, Any]:
        """Return how the processors normalise a key, by their files.

        Args:
            key: The key.
            unnormalised: Whether it may be that they do not.

        Raises:
            ZprlError: If they do not, or do anything else than is known.
        """
        file, number = (POST, 0) if key == ACTION else (PRE, 3)
        steps = load_json(self.path / file, "processor of LeRobot", {"steps": [{"registry_name": str, "config": {}}]})[
            "steps"
        ]
        found = [step["registry_name"] for step in steps]
        if found != _STEPS[file]:
            self.fail(f"has the steps {', '.join(found)} in {file}, and known are {', '.join(_STEPS[file])}")
        if file == PRE and steps[0]["config"].get("rename_map"):
            self.fail("renames observations in its preprocessor, which is not imported; rename them in the data set")
        config = steps[number]["config"]
        with reading(self.path / file, "processor of LeRobot"):
            require_form(config, {"features": {}, "norm_map": {}, "eps": NUMBER}, "config")
            require_form(config["features"].get(key, {"type": ""}), {"type": str}, key)
        kind = config["features"].get(key, {"type": ""})["type"]
        mode = config["norm_map"].get(kind, "IDENTITY")
        if mode == "IDENTITY":
            if unnormalised:
                return {"mode": mode}
            self.fail(
                f"does not normalise {key}, of which its normalization_mapping does not speak; train it with "
                f'"{kind}": "MIN_MAX" there, or pass --unnormalised to import it as it is'
            )
        if mode not in _STATISTICS:
            self.fail(f"normalises {key} by {str(mode)[:40]}, and known are {' and '.join(_STATISTICS)}")
        if not (state := steps[number].get("state_file")) or not (self.path / Path(str(state)).name).is_file():
            self.fail(f"lacks the statistics of {file}, without which it would act on raw values")
        weights = load_weights(self.path / Path(str(state)).name, "statistics of LeRobot")
        names = [f"{key}.{name}" for name in _STATISTICS[mode]]
        if missing := [name for name in names if name not in weights]:
            self.fail(f"has no {missing[0]} among the statistics of {file}, so it would act on raw values")
        first, second = (weights[name].float() for name in names)
        return {"mode": mode, "first": first, "second": second, "eps": float(config["eps"])}

    def fail(self, problem: str) -> NoReturn:
        """Refuse the checkpoint by a sentence that begins with it."""
        raise ZprlError(f"the checkpoint {self.path} {problem}.")


@dataclass(frozen=True)
class TrainingData:
    """What is known of the data set that a policy was trained on.

    Attributes:
        frequency: Its control frequency [Hz].
        task: Task that it belongs to, or "" if it does not say so.
        features: Observation terms of that task under each of its keys, or nothing.
    """

    frequency: int
    task: str = ""
    features: Mapping[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, checkpoint: Checkpoint, folder: Path) -> TrainingData:
        """Read it out of a data set of LeRobot.

        Raises:
            ZprlError: If it is none, or the checkpoint was trained on data of other sizes.
        """
        what = "description of the LeRobot data set"
        info = load_json(folder / "meta/info.json", what, {"fps": int, "features": {}})
        wanted = {**checkpoint.config["input_features"], **checkpoint.config["output_features"]}
        for key, feature in wanted.items():
            shape = (info["features"].get(key) or {}).get("shape")
            if shape != feature["shape"]:
                checkpoint.fail(
                    f"has {key} of the shape {feature['shape']}, and the data set {folder} has "
                    f"{'none' if shape is None else shape}: it was trained on another one"
                )
        if not (folder / "meta/zprl.json").is_file():
            return cls(info["fps"])
        ours = load_json(
            folder / "meta/zprl.json", what, {"spec": {"task": str, "groups": [{"features": [{"name": str}]}]}}
        )
        states = [f["name"] for g in ours["spec"]["groups"] for f in g["features"] if f.get("kind") == "state"]
        return cls(info["fps"], ours["spec"]["task"], ours.get("features") or {STATE: states})


def require_lerobot() -> str:
    """Return LeRobot's version.

    Raises:
        NotInstalledError: If it is not installed here.
        ZprlError: If it is another version than this adapter knows.
    """
    try:
        version = importlib.metadata.version("lerobot")
    except importlib.metadata.PackageNotFoundError:
        raise NotInstalledError(
            "LeRobot is not installed in this environment, which does not need it: run `zprl import-base` where it is "
            "(docs/bases.md says how), and use the folder that it writes here."
        ) from None
    if version not in VERSIONS:
        raise ZprlError(
            f"LeRobot {version} is installed, and policies are imported from {', '.join(VERSIONS)}, whose insides are "
            f"known; install that version: pip install 'lerobot[diffusion]=={VERSIONS[-1]}'."
        )
    return version
