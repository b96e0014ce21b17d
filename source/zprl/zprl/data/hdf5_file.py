# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An HDF5 file of demonstrations that may be damaged or crafted: what it holds is looked at before it is used."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import h5py
import numpy as np

from zprl.spec import Feature
from zprl.utils.errors import ZprlError, first_line
from zprl.utils.files import existing_file, physical_memory
from zprl.utils.strict_json import parse_json

if TYPE_CHECKING:
    from _typeshed import StrPath

_DEMO = re.compile(r"demo_\d+", re.ASCII)
_MAX_COMPRESSION = 1100
"""How many bytes can come of one: deflate, which HDF5 compresses by, makes at most 1,032."""


class Hdf5File:
    """An open file, every error about which names it.

    Attributes:
        path: The file.
        data: Its group ``data``.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        self._memory_left = physical_memory()
        self.data: h5py.Group = self.member(file, "data", h5py.Group)

    @classmethod
    @contextmanager
    def opened(cls, path: StrPath) -> Iterator[Hdf5File]:
        """Open a file while the block lasts.

        Raises:
            ZprlError: If it is missing, truncated or no HDF5 file, which may be found at any moment of the block.
        """
        path = existing_file(path, "demonstration file")
        try:
            with h5py.File(path, "r") as file:
                yield cls(path, file)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
            # h5py raises any of them for another format, for a file cut short, and for a damaged block found later.
            reason = first_line(error)
            raise ZprlError(
                f"the demonstration file {path} is truncated, damaged or not HDF5 ({reason}); copy or record it again."
            ) from error

    def fail(self, problem: str) -> NoReturn:
        """Refuse the file by a sentence that begins with it."""
        raise ZprlError(f"the demonstration file {self.path} {problem}.")

    def demo_names(self) -> list[str]:
        """Return the names of the demonstrations by number: the alphabet would put demo_10 before demo_2."""
        names = [name for name in map(str, self.data) if _DEMO.fullmatch(name)]
        if not names:
            self.fail("holds no demonstration")
        return sorted(names, key=lambda name: (len(name), name))

    def masks(self, names: list[str]) -> dict[str, tuple[int, ...]]:
        """Return the named subsets of demonstrations, robomimic's filter keys, as indices into ``names``."""
        if self._file.get("mask", getlink=True) is None:
            return {}
        group, places = self.member(self._file, "mask", h5py.Group), {name: i for i, name in enumerate(names)}
        masks = {}
        for key in group:
            dataset = self.member(group, key, h5py.Dataset)
            if len(dataset.shape or ()) != 1 or h5py.check_string_dtype(dataset.dtype) is None:
                self.fail(f"has no list of names at {dataset.name}")
            self._check_size(dataset)
            texts = [value.decode(errors="replace") for value in dataset[()]]
            if unknown := [text for text in texts if text not in places]:
                self.fail(f"names {unknown[0][:40]!r} at {dataset.name}, and holds no such demonstration")
            masks[key] = tuple(places[text] for text in texts)
        return masks

    def length(self, demo: h5py.Group, actions: np.ndarray) -> int:
        """Return a demonstration's number of steps, once it is clear that it is what its attribute says."""
        length = len(actions)
        if length == 0:
            self.fail(f"has no steps in {demo.name}")
        if "num_samples" in demo.attrs and (expected := self.whole(demo, "num_samples")) != length:
            self.fail(f"has {length} actions in {demo.name}, which should have {expected}")
        return length

    def image(self, group: h5py.Group, name: str, feature: Feature, shape: tuple[int, ...]) -> np.ndarray:
        """Read the images of a camera, in the type that they were recorded in."""
        dataset = self.member(group, name, h5py.Dataset)
        if dataset.shape != shape or dataset.dtype != np.dtype(feature.dtype):
            self.fail(
                f"has {dataset.dtype} of shape {dataset.shape} at {dataset.name}, and {feature.dtype} of shape {shape} "
                "was expected"
            )
        return self._values(dataset)

    def array(self, group: h5py.Group, name: str, width: int | None, length: int | None = None) -> np.ndarray:
        """Read a data set (length, width) as finite float32; a width of None stands for shape (length,)."""
        dataset = self.member(group, name, h5py.Dataset)
        expected = (length,) if width is None else (length, width)
        shape = dataset.shape or ()  # of a data set without a shape, too
        fits = len(shape) == len(expected) and all(e in (None, s) for s, e in zip(shape, expected, strict=True))
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in expected)
            self.fail(f"has shape {shape} at {dataset.name}, and ({wanted}) was expected")
        return self._numbers(dataset)

    def vectors(self, group: h5py.Group, name: str, width: int, length: int) -> np.ndarray:
        """Read a data set whose values have any shape of ``width`` numbers as finite float32 (length, width)."""
        dataset = self.member(group, name, h5py.Dataset)
        shape = dataset.shape or ()
        if shape[:1] != (length,) or math.prod(shape[1:]) != width:
            self.fail(f"has shape {shape} at {dataset.name}, and ({length}, {width}) was expected")
        return self._numbers(dataset).reshape(length, width)

    def member(self, group: h5py.Group, path: str, kind: type) -> Any:
        """Return what a path leads to without leaving the file: a link to elsewhere is not followed."""
        member: Any = group
        for name in path.split("/"):
            if not isinstance(member, h5py.Group):
                break
            # get() reports a damaged member as None, like a missing one.
            link = member.get(name, getlink=True)
            if link is not None and not isinstance(link, h5py.HardLink):
                self.fail(f"has a link at {str(member.name).rstrip('/')}/{name}; copy what it leads to to its place")
            member = member.get(name)
        if not isinstance(member, kind):
            self.fail(f"lacks the {kind.__name__.lower()} {str(group.name).rstrip('/')}/{path}")
        return member

    def whole(self, group: h5py.Group, name: str) -> int:
        """Read an attribute that is one whole number or a truth value."""
        if name not in group.attrs:
            self.fail(f"lacks the attribute {name!r} of {group.name}")
        value = group.attrs[name]
        if not isinstance(value, int | np.integer | np.bool_):
            self.fail(f"has an attribute {name!r} of {group.name} that is not a whole number or a truth value")
        return int(value)

    def json_attribute(self, name: str) -> dict[str, Any]:
        """Read an attribute of the group ``data`` that is a JSON object."""
        if name not in self.data.attrs:
            self.fail(f"lacks the attribute {name!r} of the group 'data': it was not recorded by ZPRL")
        text = self.data.attrs[name]
        if not isinstance(text, str | bytes):  # bytes: text of a fixed length
            self.fail(f"has an attribute {name!r} that is not text")
        try:
            value = parse_json(text)
        except ValueError as error:
            self.fail(f"has an attribute {name!r} that is not JSON ({error})")
        if not isinstance(value, dict):
            self.fail(f"has an attribute {name!r} that is not a JSON object")
        return value

    def _numbers(self, dataset: h5py.Dataset) -> np.ndarray:
        """Read a data set as finite float32."""
        if dataset.dtype.kind not in "biuf":
            self.fail(f"holds no numbers at {dataset.name}")
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            return self._finite(self._values(dataset).astype(np.float32), dataset)

    def _values(self, dataset: h5py.Dataset) -> np.ndarray:
        self._check_size(dataset)
        return self._finite(dataset[()], dataset)

    def _check_size(self, dataset: h5py.Dataset) -> None:
        """Refuse a data set whose values are not in this file, or not as many as it declares."""
        if dataset.is_virtual or dataset.external is not None:
            self.fail(f"keeps the values of {dataset.name} in another file; copy them into this one")
        declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
        if declared > _MAX_COMPRESSION * stored:
            self.fail(f"holds {stored} of {declared} bytes at {dataset.name}")
        self._memory_left -= declared
        if self._memory_left < 0:
            self.fail(f"is larger than this machine's memory at {dataset.name}")

    def _finite(self, array: np.ndarray, dataset: h5py.Dataset) -> np.ndarray:
        if not np.isfinite(array).all():
            self.fail(f"holds NaN or infinity at {dataset.name}")
        return array
