# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Demonstrations in HDF5 files of the form that Isaac Lab and robomimic share.

::

    data                        attributes: total (number of steps), env_args (JSON), zprl (JSON, see below)
    data/demo_0                 attributes: num_samples (T), success (bool)
    data/demo_0/obs/<feature>   (T, size) or of an image (T, ...), one data set per feature
    data/demo_0/next_obs/...    the same after each action: written by Isaac Lab's recorder for robomimic, not read here
    data/demo_0/actions         (T, A)
    data/demo_0/rewards         (T,)
    data/demo_0/dones           (T,)

The attribute ``zprl`` says how the features make up observations, which the form itself leaves open::

    {"format_version": 2, "spec": {...}, "quality": "...", "seed": 0, "num_demos": 100}

where ``spec`` is what :meth:`zprl.spec.TaskSpec.to_dict` returns.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import h5py
import numpy as np
import torch

from zprl.spec import Feature, TaskSpec, typed
from zprl.utils.errors import ZprlError, first_line
from zprl.utils.files import atomic_write, existing_file, physical_memory
from zprl.utils.strict_json import parse_json

if TYPE_CHECKING:
    from _typeshed import StrPath

FORMAT_VERSION = 2
"""Version of the attribute ``zprl``."""

_BEYOND_LIMITS = "a policy could not do what was demonstrated, so give the actions as the environment executes them"
"""Why actions beyond the limits are refused, and what to do."""
_DEMO = re.compile(r"demo_\d+", re.ASCII)
_MAX_COMPRESSION = 1100
"""How many bytes can come of one: deflate, which HDF5 compresses by, makes at most 1,032."""


@dataclass(frozen=True)
class Demonstration:
    """A recorded episode of T control steps.

    Attributes:
        observations: Observations before each action by group: (T, D) float32, or of an image (T, ...).
        actions: Actions (T, A), float32.
        rewards: Rewards (T,), float32.
        dones: Whether the episode ended after the step (T,), bool.
        success: Whether it reached the task's goal.
    """

    observations: Mapping[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    dones: np.ndarray
    success: bool


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations of one task.

    Attributes:
        path: File that they were read from.
        spec: What was observed and done.
        quality: Which demonstrator recorded them.
        seed: Seed of the recording.
        episodes: The demonstrations.
        env_args: Environment arguments that Isaac Lab and robomimic keep; empty if the file has none.
    """

    path: Path
    spec: TaskSpec
    quality: str
    seed: int
    episodes: list[Demonstration] = field(default_factory=list)
    env_args: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """Task id."""
        return self.spec.task

    @property
    def num_demos(self) -> int:
        """Number of demonstrations."""
        return len(self.episodes)

    @property
    def num_steps(self) -> int:
        """Number of control steps of all demonstrations together."""
        return sum(len(episode.actions) for episode in self.episodes)

    @property
    def num_successes(self) -> int:
        """Number of demonstrations that reached the goal."""
        return sum(episode.success for episode in self.episodes)


def metadata(spec: TaskSpec, quality: str, seed: int, num_demos: int) -> str:
    """Return the attribute ``zprl`` of a file."""
    values = {"format_version": FORMAT_VERSION, "spec": spec.to_dict()}
    return json.dumps({**values, "quality": quality, "seed": seed, "num_demos": num_demos}, allow_nan=False)


def save_demonstrations(
    path: StrPath, spec: TaskSpec, episodes: Sequence[Demonstration], quality: str = "given", seed: int = 0
) -> None:
    """Write demonstrations that did not come from a task's expert, complete or not at all.

    Args:
        path: File to create or to replace.
        spec: What was observed and done.
        episodes: The demonstrations.
        quality: Which demonstrator recorded them.
        seed: Seed of the recording.

    Raises:
        ZprlError: If an episode's arrays do not fit the spec, or its actions go beyond the limits.
        OSError: If the file cannot be written.
    """
    # In memory: the HDF5 library crashes the process when the disk is full.
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(len(episode.actions) for episode in episodes)
        data.attrs["zprl"] = metadata(spec, quality, seed, len(episodes))
        for index, episode in enumerate(episodes):
            if np.shape(episode.actions)[1:] != (spec.action_dim,):
                raise ZprlError(
                    f"demonstration {index} holds actions of shape {np.shape(episode.actions)}; {spec.action_dim} "
                    "numbers belong to each step."
                )
            if beyond := spec.beyond_limits(torch.as_tensor(episode.actions, dtype=torch.float32)):
                raise ZprlError(f"demonstration {index} holds {beyond}; {_BEYOND_LIMITS}.")
            demo = data.create_group(f"demo_{index}")
            demo.attrs["num_samples"] = len(episode.actions)
            demo.attrs["success"] = bool(episode.success)
            for group in spec.groups:
                values = episode.observations[group.name]
                if values.shape != (len(episode.actions), *group.shape):
                    raise ZprlError(
                        f"demonstration {index} holds {len(episode.actions)} actions and observations {group.name} of "
                        f"shape {values.shape}; one of shape {group.shape} belongs to each action."
                    )
                if group.is_image and values.dtype != np.dtype(group.features[0].dtype):
                    raise ZprlError(
                        f"demonstration {index} holds images {group.name} of {values.dtype}, and the spec says "
                        f"{group.features[0].dtype}."
                    )
                if group.is_image:
                    demo[f"obs/{group.features[0].name}"] = values
                    continue
                for name, place in group.slices().items():
                    demo[f"obs/{name}"] = values[:, place].astype(np.float32)
            demo["actions"] = np.asarray(episode.actions, dtype=np.float32)
            demo["rewards"] = np.asarray(episode.rewards, dtype=np.float32)
            demo["dones"] = np.asarray(episode.dones, dtype=np.uint8)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def load_demonstrations(path: StrPath) -> Demonstrations:
    """Read a file of demonstrations, in the order of their numbers, and check all of it.

    Args:
        path: HDF5 file; see the module's text for its form.

    Returns:
        The demonstrations.

    Raises:
        ZprlError: If the file is missing or truncated, holds no demonstration, lacks a key, or holds arrays whose
            shapes do not fit together or whose numbers are not finite, or actions beyond the spec's limits.
    """
    path = existing_file(path, "demonstration file")
    try:
        with h5py.File(path, "r") as file:
            return _Reader(path, file).read()
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        # h5py raises any of them for another format, for a file cut short, and for a damaged block found later.
        reason = first_line(error)
        raise ZprlError(
            f"the demonstration file {path} is truncated, damaged or not HDF5 ({reason}); copy or record it again."
        ) from error


class _Reader:
    """Reads one open file. It exists so that every error can name the file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.file = file
        self.memory_left = physical_memory()

    def read(self) -> Demonstrations:
        """See :func:`load_demonstrations`."""
        data = self._member(self.file, "data", h5py.Group)
        meta = self._json_attribute(data, "zprl")
        if meta.get("format_version") != FORMAT_VERSION:
            self._fail(
                f"has format version {meta.get('format_version')}, and this ZPRL reads version {FORMAT_VERSION}; "
                "record it again or install a matching version"
            )
        try:
            demonstrations = Demonstrations(
                path=self.path,
                spec=TaskSpec.from_dict(meta["spec"]),
                quality=typed(meta, "quality", str),
                seed=typed(meta, "seed", int),
                env_args=self._json_attribute(data, "env_args") if "env_args" in data.attrs else {},
            )
            expected_demos = typed(meta, "num_demos", int)
        except KeyError as error:
            self._fail(f"lacks the entry {error} in the attribute 'zprl' of the group 'data'")
        except (TypeError, ValueError, ZprlError) as error:
            self._fail(f"has a wrong entry in the attribute 'zprl' of the group 'data' ({error})")

        names = [name for name in data if _DEMO.fullmatch(name)]
        if not names:
            self._fail("holds no demonstration")
        if len(names) != expected_demos:
            self._fail(f"holds {len(names)} of {expected_demos} demonstrations: its recording was cut short")
        # By number: the names in order of the alphabet would put demo_10 before demo_2.
        for name in sorted(names, key=lambda name: (len(name), name)):
            demonstrations.episodes.append(self._read_demo(self._member(data, name, h5py.Group), demonstrations.spec))
        return demonstrations

    def _read_demo(self, demo: h5py.Group, spec: TaskSpec) -> Demonstration:
        actions = self._array(demo, "actions", spec.action_dim)
        length = len(actions)
        if length == 0:
            self._fail(f"has no steps in {demo.name}")
        if beyond := spec.beyond_limits(torch.from_numpy(actions)):
            self._fail(f"holds {beyond}, in {demo.name}; {_BEYOND_LIMITS}")
        if "num_samples" in demo.attrs and (expected := self._whole(demo, "num_samples")) != length:
            self._fail(f"has {length} actions in {demo.name}, which should have {expected}")
        obs = self._member(demo, "obs", h5py.Group)
        observations = {}
        for group in spec.groups:
            if group.is_image:
                observations[group.name] = self._image(obs, group.features[0], (length, *group.shape))
            else:
                parts = [self._array(obs, feature.name, feature.size, length) for feature in group.features]
                observations[group.name] = np.concatenate(parts, axis=1)
        rewards = self._array(demo, "rewards", None, length)
        dones = self._array(demo, "dones", None, length).astype(bool)
        success = self._whole(demo, "success")
        if success not in (0, 1):
            self._fail(f"has {success} as the attribute 'success' of {demo.name}, which is neither 0 nor 1")
        return Demonstration(observations, actions, rewards, dones, bool(success))

    def _image(self, group: h5py.Group, feature: Feature, shape: tuple[int, ...]) -> np.ndarray:
        """Read the images of a camera, in the type that they were recorded in."""
        dataset = self._member(group, feature.name, h5py.Dataset)
        if dataset.shape != shape or dataset.dtype != np.dtype(feature.dtype):
            self._fail(
                f"has {dataset.dtype} of shape {dataset.shape} at {dataset.name}, and {feature.dtype} of shape {shape} "
                "was expected"
            )
        return self._values(dataset)

    def _array(self, group: h5py.Group, name: str, width: int | None, length: int | None = None) -> np.ndarray:
        """Read a data set (length, width) as finite float32; a width of None stands for shape (length,)."""
        dataset = self._member(group, name, h5py.Dataset)
        expected = (length,) if width is None else (length, width)
        shape = dataset.shape or ()  # of a data set without a shape, too
        fits = len(shape) == len(expected) and all(e in (None, s) for s, e in zip(shape, expected, strict=True))
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in expected)
            self._fail(f"has shape {shape} at {dataset.name}, and ({wanted}) was expected")
        if dataset.dtype.kind not in "biuf":
            self._fail(f"holds no numbers at {dataset.name}")
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            return self._finite(self._values(dataset).astype(np.float32), dataset)

    def _values(self, dataset: h5py.Dataset) -> np.ndarray:
        """Read a data set, once it is clear that its values are in this file and are as many as it declares."""
        if dataset.is_virtual or dataset.external is not None:
            self._fail(f"keeps the values of {dataset.name} in another file; copy them into this one")
        declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
        if declared > _MAX_COMPRESSION * stored:
            self._fail(f"holds {stored} of {declared} bytes at {dataset.name}")
        self.memory_left -= declared
        if self.memory_left < 0:
            self._fail(f"is larger than this machine's memory at {dataset.name}")
        return self._finite(dataset[()], dataset)

    def _finite(self, array: np.ndarray, dataset: h5py.Dataset) -> np.ndarray:
        if not np.isfinite(array).all():
            self._fail(f"holds NaN or infinity at {dataset.name}")
        return array

    def _member(self, group: h5py.Group, path: str, kind: type) -> Any:
        """Return what a path leads to without leaving the file: a link to elsewhere is not followed."""
        member: Any = group
        for name in path.split("/"):
            if not isinstance(member, h5py.Group):
                break
            # get() reports a damaged member as None, like a missing one.
            link = member.get(name, getlink=True)
            if link is not None and not isinstance(link, h5py.HardLink):
                self._fail(f"has a link at {str(member.name).rstrip('/')}/{name}; copy what it leads to to its place")
            member = member.get(name)
        if not isinstance(member, kind):
            self._fail(f"lacks the {kind.__name__.lower()} {str(group.name).rstrip('/')}/{path}")
        return member

    def _whole(self, group: h5py.Group, name: str) -> int:
        """Read an attribute that is one whole number or a truth value."""
        if name not in group.attrs:
            self._fail(f"lacks the attribute {name!r} of {group.name}")
        value = group.attrs[name]
        if not isinstance(value, int | np.integer | np.bool_):
            self._fail(f"has an attribute {name!r} of {group.name} that is not a whole number or a truth value")
        return int(value)

    def _json_attribute(self, group: h5py.Group, name: str) -> dict[str, Any]:
        if name not in group.attrs:
            self._fail(f"lacks the attribute {name!r} of the group 'data': it was not recorded by ZPRL")
        text = group.attrs[name]
        if not isinstance(text, str | bytes):  # bytes: text of a fixed length
            self._fail(f"has an attribute {name!r} that is not text")
        try:
            value = parse_json(text)
        except ValueError as error:
            self._fail(f"has an attribute {name!r} that is not JSON ({error})")
        if not isinstance(value, dict):
            self._fail(f"has an attribute {name!r} that is not a JSON object")
        return value

    def _fail(self, problem: str) -> NoReturn:
        raise ZprlError(f"the demonstration file {self.path} {problem}.")
