# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Reading of demonstrations from HDF5 files in the form that Isaac Lab and robomimic share.

::

    data                      attributes: total (number of steps), env_args (JSON), zprl (JSON, see below)
    data/demo_0               attributes: num_samples (T), success (bool)
    data/demo_0/obs/<term>    (T, width), one data set per observation term
    data/demo_0/actions       (T, A)
    data/demo_0/rewards       (T,)
    data/demo_0/dones         (T,)

The attribute ``zprl`` says how the terms make up a vector, which the form itself leaves open::

    {"format_version": 1, "task": "...", "step_dt": 0.02, "quality": "...", "seed": 0, "num_demos": 100,
     "observation_terms": [["joint_pos", 9], ...], "action_terms": [["arm_action", 6], ...]}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import h5py
import numpy as np

from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from _typeshed import StrPath

FORMAT_VERSION = 1
"""Version of the attribute ``zprl``."""


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations of one task. Entry i of every list belongs to demonstration i, of T_i control steps."""

    path: Path
    """File that they were read from."""

    task: str
    """Name of the task."""

    step_dt: float
    """Duration of a control step, in s."""

    quality: str
    """Which demonstrator recorded them."""

    seed: int
    """Seed of the recording."""

    observation_terms: tuple[tuple[str, int], ...]
    """Name and width of each observation term, in the order of the observation vector."""

    action_terms: tuple[tuple[str, int], ...]
    """Name and width of each action term, in the order of the action vector."""

    env_args: dict[str, Any]
    """Environment arguments that Isaac Lab and robomimic keep; empty if the file has none."""

    observations: list[np.ndarray]
    """Observations (T_i, obs_dim), float32."""

    actions: list[np.ndarray]
    """Actions (T_i, action_dim), float32."""

    rewards: list[np.ndarray]
    """Rewards (T_i,), float32."""

    dones: list[np.ndarray]
    """Whether the episode ended after the step (T_i,), bool."""

    success: list[bool]
    """Whether the demonstration reached the task's goal."""

    @property
    def num_demos(self) -> int:
        """Number of demonstrations."""
        return len(self.actions)

    @property
    def num_steps(self) -> int:
        """Number of control steps of all demonstrations together."""
        return sum(len(actions) for actions in self.actions)

    @property
    def obs_dim(self) -> int:
        """Width of the observation vector."""
        return sum(width for _, width in self.observation_terms)

    @property
    def action_dim(self) -> int:
        """Width of the action vector."""
        return sum(width for _, width in self.action_terms)


def load_demonstrations(path: StrPath) -> Demonstrations:
    """Read a file of demonstrations, in the order of their numbers, and check all of it.

    Args:
        path: HDF5 file; see the module's text for its form.

    Returns:
        The demonstrations.

    Raises:
        ZprlError: If the file is missing or truncated, holds no demonstration, lacks a key, or holds arrays whose
            shapes do not fit together or whose numbers are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise ZprlError(f"the demonstration file {path} does not exist; record demonstrations or check the path.")
    try:
        with h5py.File(path, "r") as file:
            return _Reader(path, file).read()
    except OSError as error:
        # HDF5 raises it for another format, for a file cut short, and for a damaged block found later.
        reason = str(error).splitlines()[0]
        raise ZprlError(
            f"the demonstration file {path} is truncated, damaged or not HDF5 ({reason}); copy or record it again."
        ) from error


class _Reader:
    """Reads one open file. It exists so that every error can name the file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.file = file

    def read(self) -> Demonstrations:
        """See :func:`load_demonstrations`."""
        data = self._member(self.file, "data", h5py.Group)
        meta = self._json_attribute(data, "zprl")
        if meta.get("format_version") != FORMAT_VERSION:
            self._fail(f"has format version {meta.get('format_version')}, and this ZPRL reads version {FORMAT_VERSION}")
        try:
            observation_terms = tuple((str(name), int(width)) for name, width in meta["observation_terms"])
            action_terms = tuple((str(name), int(width)) for name, width in meta["action_terms"])
            demonstrations = Demonstrations(
                path=self.path,
                task=str(meta["task"]),
                step_dt=float(meta["step_dt"]),
                quality=str(meta["quality"]),
                seed=int(meta["seed"]),
                observation_terms=observation_terms,
                action_terms=action_terms,
                env_args=self._json_attribute(data, "env_args") if "env_args" in data.attrs else {},
                observations=[],
                actions=[],
                rewards=[],
                dones=[],
                success=[],
            )
            expected_demos = int(meta["num_demos"])
        except KeyError as error:
            self._fail(f"lacks the entry {error} in the attribute 'zprl' of the group 'data'")
        except (TypeError, ValueError) as error:
            self._fail(f"has a wrong entry in the attribute 'zprl' of the group 'data' ({error})")

        names = [name for name in data if name.startswith("demo_") and name.removeprefix("demo_").isdecimal()]
        if not names:
            self._fail("holds no demonstration")
        if len(names) != expected_demos:
            self._fail(f"holds {len(names)} of {expected_demos} demonstrations: its recording was cut short")
        # By number: the names in order of the alphabet would put demo_10 before demo_2.
        for name in sorted(names, key=lambda name: int(name.removeprefix("demo_"))):
            self._read_demo(self._member(data, name, h5py.Group), demonstrations)
        return demonstrations

    def _read_demo(self, demo: h5py.Group, demonstrations: Demonstrations) -> None:
        actions = self._array(demo, "actions", demonstrations.action_dim)
        length = len(actions)
        if length == 0:
            self._fail(f"has no steps in {demo.name}")
        if int(demo.attrs.get("num_samples", length)) != length:
            self._fail(f"has {length} actions in {demo.name}, which should have {demo.attrs['num_samples']}")
        obs = self._member(demo, "obs", h5py.Group)
        terms = [self._array(obs, name, width, length) for name, width in demonstrations.observation_terms]
        demonstrations.observations.append(np.concatenate(terms, axis=1))
        demonstrations.actions.append(actions)
        demonstrations.rewards.append(self._array(demo, "rewards", None, length))
        demonstrations.dones.append(self._array(demo, "dones", None, length).astype(bool))
        if "success" not in demo.attrs:
            self._fail(f"lacks the attribute 'success' of {demo.name}")
        demonstrations.success.append(bool(demo.attrs["success"]))

    def _array(self, group: h5py.Group, name: str, width: int | None, length: int | None = None) -> np.ndarray:
        """Read a data set (length, width) as finite float32; a width of None stands for shape (length,)."""
        dataset = self._member(group, name, h5py.Dataset)
        expected = (length,) if width is None else (length, width)
        shape = dataset.shape
        if len(shape) != len(expected) or any(e is not None and s != e for s, e in zip(shape, expected, strict=True)):
            wanted = ", ".join("any" if size is None else str(size) for size in expected)
            self._fail(f"has shape {shape} at {dataset.name}, and ({wanted}) was expected")
        try:
            array = dataset[()].astype(np.float32)
        except (TypeError, ValueError):
            self._fail(f"holds no numbers at {dataset.name}")
        if not np.isfinite(array).all():
            self._fail(f"holds NaN or infinity at {dataset.name}")
        return array

    def _member(self, group: h5py.Group, name: str, kind: type) -> Any:
        # get() reports a damaged member as None, like a missing one.
        member = group.get(name)
        if not isinstance(member, kind):
            self._fail(f"lacks the {kind.__name__.lower()} {str(group.name).rstrip('/')}/{name}")
        return member

    def _json_attribute(self, group: h5py.Group, name: str) -> dict[str, Any]:
        if name not in group.attrs:
            self._fail(f"lacks the attribute {name!r} of the group 'data': it was not recorded by ZPRL")
        try:
            value = json.loads(str(group.attrs[name]))
        except ValueError as error:
            self._fail(f"has an attribute {name!r} that is not JSON ({error})")
        if not isinstance(value, dict):
            self._fail(f"has an attribute {name!r} that is not a JSON object")
        return value

    def _fail(self, problem: str) -> NoReturn:
        raise ZprlError(f"the demonstration file {self.path} {problem}.")
