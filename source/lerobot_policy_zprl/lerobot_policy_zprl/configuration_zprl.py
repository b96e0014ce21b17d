# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What ``config.json`` says of an exported policy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NoReturn

from lerobot.configs import FeatureType, PreTrainedConfig


@dataclass
class InputPart:
    """Where a part of a model's input stands in an observation.

    Attributes:
        key: Key of the observation, such as "observation.state".
        start: First element there; of an image 0.
        stop: Element after the last one; of an image its size.
    """

    key: str
    start: int
    stop: int


@PreTrainedConfig.register_subclass("zprl")
@dataclass
class ZprlConfig(PreTrainedConfig):
    """Configuration of an exported policy; ZPRL's ``export_lerobot.py`` writes it.

    Attributes:
        task: Task that the policy was learned in.
        period: Time between two actions [s].
        horizon: Number of actions of a chunk.
        execute_steps: Number of actions that are executed before the next chunk is planned.
        model_bytes: Size of the ONNX model.
        model_sha256: Its SHA-256.
        model_inputs: The parts that stand side by side in each of its inputs.
        image_inputs: The inputs that are images of bytes.
    """

    n_obs_steps: int = 1
    task: str = ""
    period: float = 0.0
    horizon: int = 0
    execute_steps: int = 0
    model_bytes: int = 0
    model_sha256: str = ""
    model_inputs: dict[str, list[InputPart]] = field(default_factory=dict)
    image_inputs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.execute_steps <= self.horizon or self.model_bytes < 1 or not self.model_inputs:
            raise ValueError(
                "this configuration is not one of an exported policy; write one by ZPRL's export_lerobot.py, and load "
                "it by --policy.path."
            )

    @property
    def observation_delta_indices(self) -> None:
        """The present observation alone."""
        return None

    @property
    def action_delta_indices(self) -> list[int]:
        """The steps of a chunk."""
        return list(range(self.horizon))

    @property
    def reward_delta_indices(self) -> None:
        """No rewards."""
        return None

    def get_optimizer_preset(self) -> NoReturn:
        """Refuse to be trained."""
        raise NotImplementedError("policies of type zprl are trained by ZPRL; here they act.")

    def get_scheduler_preset(self) -> None:
        """No scheduler."""
        return None

    def validate_features(self) -> None:
        """Check that the observation holds what the model reads.

        Raises:
            ValueError: If a key is missing or too small.
        """
        features = self.input_features or {}
        needed: dict[str, int] = {}
        for part in (part for parts in self.model_inputs.values() for part in parts):
            needed[part.key] = max(part.stop, needed.get(part.key, 0))
        for key, size in needed.items():
            if key not in features:
                raise ValueError(f"the policy reads {key}, and the observation has {', '.join(features)}.")
            found = math.prod(features[key].shape)
            if size > found or (features[key].type is FeatureType.VISUAL and size != found):
                raise ValueError(f"the policy reads {size} numbers of {key}, which has {found}.")
