# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The parts of a bundle's contract. The docstrings of the classes here document the fields of ``contract.json``.

Lists run over the elements of a term or over the dimensions of a vector, in order. JSON has no infinity and no NaN: a
number that does not exist is null.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from zprl.envs.description import CameraDescription


@dataclass(frozen=True)
class ObservationTerm:
    """One feature of a group of observations: a part of a vector, or an image.

    What runs over elements is null for an image.
    """

    name: str
    """Name of the feature in the task's group."""

    start: int
    """Index of its first element in the group's vector; 0 for an image."""

    size: int
    """Number of its elements."""

    elements: list[str] | None
    """Name of each element; null if the term is not described."""

    units: list[str] | None
    """Unit of each element, "1" for none; null if the term is not described."""

    frame: str | None
    """Frame that the term is measured in; null if it has none or is not described."""

    description: str | None
    """What the term is, in words."""

    minimum: list[float] | None
    """Smallest value of each element that the policy has met, in its unit; null if unknown."""

    maximum: list[float] | None
    """Largest value of each element, likewise."""

    mean: list[float] | None
    """Mean of the policy's normaliser, which is part of every exported file: feed raw values. Null if it has none."""

    std: list[float] | None
    """Standard deviation of the policy's normaliser, likewise."""


@dataclass(frozen=True)
class ObservationGroup:
    """What one key of an observation holds: a vector, or one image."""

    name: str
    """Name of the task's group."""

    kind: str
    """"state", what the robot measures; "image"; or "privileged", what it cannot measure."""

    dtype: str
    """"float32", or "uint8"."""

    shape: list[int]
    """Shape of one row: [D] for a vector, and for an image its height, width and channels."""

    history: int
    """Number of control steps that a row holds, the newest last; 1 for the present alone."""

    features: list[ObservationTerm]
    """Features of a vector, in the order in which they are concatenated; or the image."""

    camera: CameraDescription | None = None
    """The camera of an image; null if it is not described."""

    @property
    def size(self) -> int:
        """Number of elements: D of a vector, and of an image those of one control step."""
        return math.prod(self.shape)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row as policies take it: an image of several control steps has the steps in front."""
        return (self.history, *self.shape) if self.kind == "image" and self.history > 1 else tuple(self.shape)


@dataclass(frozen=True)
class Observation:
    """The observation, by group."""

    range_source: str | None
    """Where the ranges come from; null if they are unknown."""

    groups: list[ObservationGroup]
    """Groups that the policy reads."""


@dataclass(frozen=True)
class ActionDimension:
    """One dimension of the action vector."""

    name: str
    """Name of the dimension."""

    term: str
    """Action term of the task that it belongs to."""

    unit: str | None
    """Unit of ``offset + scale * action``, "1" for none; null if the term is not described."""

    frame: str | None
    """Frame of the quantity; null if it has none or is not described."""

    description: str | None
    """What the robot does with it, in words."""

    scale: float | None
    """Factor from the action to ``unit``; null if the term is not described."""

    low: float | None
    """Lower limit of the action; null for none."""

    high: float | None
    """Upper limit of the action; null for none."""

    max_change: float | None
    """Largest change from one control step to the next that was seen in training, but at least 1/40 of the width of the
    limits; null if unknown."""

    hold: float | None
    """Value of the safe action, the task's idle action, which keeps the robot where it is; null repeats the value sent
    last, and before anything was sent is no command."""

    offset: float = 0.0
    """What an action of 0 is in ``unit``."""


@dataclass(frozen=True)
class InitialNoise:
    """Where the flow starts. It is part of every exported file except the native blob, which is handed it."""

    rule: str
    """"zero" or "fixed"."""

    seed: int | None
    """Seed of random draws; null because neither rule draws any."""

    values: list[list[float]] | None
    """The fixed start (H, A), in normalised action units; null for zero."""


@dataclass(frozen=True)
class Control:
    """When the policy is asked, and what is done with its answer."""

    period: float
    """Time between two actions [s]."""

    horizon: int
    """Number of actions H of a chunk."""

    execute_steps: int
    """Number of actions Ta of a chunk that are executed."""

    replan: str
    """When a new chunk is planned, in words."""

    initial_noise: InitialNoise
    """Where the flow starts."""


@dataclass(frozen=True)
class Latent:
    """The latent that is steered, z' = z + residual_scale * clamp(u, -1, 1)."""

    size: int
    """Number of dimensions L."""

    residual_scale: float
    """Lambda; 0 for a base policy."""

    rms: float
    """Root mean square of z over the demonstrations."""

    mean: list[float]
    """Mean of each dimension of z over ``source``."""

    std: list[float]
    """Standard deviation of each dimension of z over ``source``."""

    source: str
    """Observations behind ``mean`` and ``std``."""


@dataclass(frozen=True)
class Provenance:
    """How the policy was made."""

    created_at: str
    """Time of the export, ISO 8601 in UTC."""

    checkpoint: str
    """Name of the exported file."""

    checkpoint_sha256: str
    """Its checksum."""

    environment_steps: int
    """Environment steps of reinforcement learning; 0 for a base policy."""

    physics: str | None
    """Physics engine of the training; null if unknown."""

    packages: dict[str, str]
    """Versions of the packages at the export, and of Python."""

    git_commit: str | None
    """Commit of the repository that exported, with "-dirty" if it had changes; null outside of a repository."""


@dataclass(frozen=True)
class BundleFile:
    """A file of the bundle."""

    kind: str
    """"torchscript", "portable", "onnx", "torch_export", "native" or "golden"."""

    needs: str
    """What a program needs to load it."""

    precision: str
    """"float32", or "bfloat16" for the weights of the velocity field."""

    tolerance: list[float] | None
    """Largest absolute error of each action dimension against the recorded chunks; null for the recording itself."""

    size: int
    """Size [byte]."""

    sha256: str
    """Checksum."""
