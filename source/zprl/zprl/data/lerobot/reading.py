# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Reading of LeRobotDatasets of version 3, this project's own and those of others.

Whole columns are read, and images decoded once, in their order. Nothing is unpickled, and what Pandas has left in a
table is not looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zprl.data.demonstrations import Demonstration, Demonstrations, Metadata
from zprl.data.lerobot.images import decode_file, num_bytes, read_video
from zprl.data.lerobot.layout import (
    ACTION,
    DATA,
    DONE,
    IMAGES,
    INDICES,
    OURS,
    REWARD,
    SUCCESS,
    VIDEOS,
    Info,
    import_extra,
    usual_key,
)
from zprl.data.names import DatasetNamesCfg, NameMap, Namer
from zprl.spec import Feature, TaskSpec
from zprl.utils.errors import ZprlError, one_sentence
from zprl.utils.files import existing_file, load_json, physical_memory, reading
from zprl.utils.progress import Progress
from zprl.utils.strict_json import require_form

_MAX_FILES = 100_000
"""Most files of a data set that are looked for; a number out of a file names one."""


def read_lerobot(
    path: Path,
    spec: TaskSpec | None = None,
    cfg: DatasetNamesCfg | None = None,
    groups: Iterable[str] | None = None,
) -> Demonstrations:
    """Read a data set and check all of it.

    Args:
        path: Its folder.
        spec: Spec of the task by whose names it is read, if it does not say its own.
        cfg: Names that the task's configuration gives.
        groups: Groups that must be there, or None for all.

    Raises:
        ZprlError: If it is damaged, does not fit the task, or says no spec and none is given.
        NotInstalledError: If the packages of the extra ``lerobot`` are not installed.
    """
    import_extra("pyarrow.parquet")
    info = Info.read(path)
    ours = _read_ours(info)
    beside = (*INDICES, REWARD, DONE, SUCCESS)
    available = {key: shape for key, (_, shape) in info.features.items() if key not in beside}
    if ours is not None:
        # What it says of itself; the names of a task are of data sets that say nothing.
        names = DatasetNamesCfg(features=ours.features, refuse_absolute_actions=False)
        namer = Namer(f"the LeRobot data set {path}", ours.spec, names)
        meta, notes = ours.metadata, ()
        keys = namer.resolve(usual_key, available, ACTION)
    elif spec is None:
        info.fail("does not say what was observed and done, as those that ZPRL writes do; give the task that it is for")
    else:
        namer = Namer(f"the LeRobot data set {path}", spec, cfg, groups)
        keys = namer.resolve(lambda g, f: usual_key(g, f, g.name in namer.needed), available, ACTION)
        meta, notes = Metadata(keys.spec, "given", 0, info.total_episodes), (*keys.notes, *_unsaid(info))
    namer.check_period(info.fps)
    if meta.num_demos != info.total_episodes:
        info.fail(
            f"holds {info.total_episodes} episodes, and {OURS} says {meta.num_demos}: something else has changed it; "
            f"remove that file to read it as a data set of others"
        )
    episodes = _Reader(info, keys).read()
    namer.check_actions(episodes)
    masks = {} if ours is None else ours.masks
    env_args = {} if ours is None else ours.env_args
    return Demonstrations(path, meta.spec, meta.quality, meta.seed, episodes, env_args, masks, notes)


@dataclass(frozen=True)
class _Ours:
    """What ``meta/zprl.json`` says."""

    metadata: Metadata
    env_args: dict[str, Any]
    masks: dict[str, tuple[int, ...]]
    features: dict[str, list[str]]
    """Where terms stand that are not in their usual place, as in :attr:`DatasetNamesCfg.features`."""

    @property
    def spec(self) -> TaskSpec:
        return self.metadata.spec


def _read_ours(info: Info) -> _Ours | None:
    path, what = info.path / OURS, "description of the LeRobot data set"
    if not path.exists():
        return None
    values = load_json(path, what, {"env_args": {}, "masks": {}})
    with reading(path, what):
        require_form(values["masks"], {name: [int] for name in values["masks"]})
        for name, indices in values["masks"].items():
            if any(not 0 <= index < info.total_episodes for index in indices):
                raise ValueError(f"masks.{name} names an episode that is not there")
        try:
            metadata = Metadata.from_dict(values, OURS)
        except ValueError as error:
            info.fail(str(error))
        features = values.get("features", {})
        with reading(path, what):
            require_form(features, {name: [str] for name in features} if isinstance(features, dict) else {})
        masks = {name: tuple(part) for name, part in values["masks"].items()}
        return _Ours(metadata, values["env_args"], masks, features)


def _unsaid(info: Info) -> list[str]:
    """Return what a data set of others does not say of rewards and successes, a line each."""
    if SUCCESS in info.features:
        return []
    if REWARD in info.features:
        return [f"it has no {SUCCESS}: episodes with a {REWARD} above zero are successful"]
    return [f"it has neither {SUCCESS} nor {REWARD}: all of its episodes are taken as successful"]


class _Reader:
    """Reads the episodes of a data set."""

    def __init__(self, info: Info, keys: NameMap) -> None:
        self._info = info
        self._keys = keys
        images = [features[0] for features in keys.keys.values() if features[0].kind == "image"]
        size = 4 * sum(feature.size for group in keys.spec.vectors for feature in group.features)
        size += 4 * keys.spec.action_dim + sum(num_bytes(f.shape, f.dtype) for f in images)
        if size * info.total_frames > physical_memory():
            info.fail(f"holds {info.total_frames} steps of {size} bytes, more than this machine's memory")

    def read(self) -> list[Demonstration]:
        """Read all episodes, in the order of their numbers."""
        info = self._info
        videos = [key for key in self._keys.keys if key in info.videos]
        rows = self._read_rows(videos)
        files = defaultdict(list)
        for episode in range(info.total_episodes):
            files[rows["data/chunk_index"][episode], rows["data/file_index"][episode]].append(episode)
        columns: list[dict[str, np.ndarray]] = [{} for _ in range(info.total_episodes)]
        scalars = [key for key in (REWARD, DONE, SUCCESS) if key in info.features]
        with Progress(info.total_frames, f"reading {info.path}", "step") as progress:
            for place, inside in files.items():
                self._read_data(self._file(DATA, place), inside, rows["length"], scalars, videos, columns)
                progress.advance(sum(int(rows["length"][episode]) for episode in inside))
        for key in videos:
            self._read_videos(key, rows, columns)
        return [self._episode(column) for column in columns]

    def _episode(self, columns: dict[str, np.ndarray]) -> Demonstration:
        length = len(columns[self._keys.action])
        dones = np.arange(length) == length - 1
        rewards = columns[REWARD][:, 0] if REWARD in columns else np.zeros(length, np.float32)
        if SUCCESS in columns:
            success = bool(columns[SUCCESS].any())
        else:
            success = REWARD not in columns or bool((rewards > 0.0).any())
        return Demonstration(
            self._keys.observations(lambda key, features: columns[key]),
            columns[self._keys.action],
            rewards,
            columns[DONE][:, 0].astype(bool) if DONE in columns else dones,
            success,
        )

    def _read_rows(self, videos: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the columns of the table of episodes, sorted by number, and refuse numbers that are not 0, 1, ..."""
        info, whole = self._info, ["episode_index", "length", "data/chunk_index", "data/file_index"]
        whole += [f"videos/{key}/{name}" for key in videos for name in ("chunk_index", "file_index")]
        times = [f"videos/{key}/from_timestamp" for key in videos]
        parts, count = [], 0
        for path in sorted((info.path / "meta" / "episodes").glob("*/*.parquet"))[:_MAX_FILES]:
            with _parquet(path) as file:
                count += file.metadata.num_rows
                if count > info.total_episodes:
                    break
                table = self._columns(file, path, [*whole, *times])
                parts.append({name: self._numbers(path, table, name, ()) for name in [*whole, *times]})
        if count != info.total_episodes:
            info.fail(f"lists {count} of {info.total_episodes} episodes: it is cut short, or was not finalized")
        rows = {name: np.concatenate([part[name][:, 0] for part in parts]) for name in [*whole, *times]}
        order = np.argsort(rows["episode_index"], kind="stable")
        rows = {name: values[order] for name, values in rows.items()}
        if any(values.min() < 0 for name, values in rows.items() if name in whole) or rows["length"].min() < 1:
            info.fail("has an episode of no steps or a negative number in its table of episodes")
        if (rows["episode_index"] != np.arange(count)).any():
            info.fail("counts its episodes with gaps or one of them twice")
        if rows["length"].sum() != info.total_frames:
            info.fail(f"has episodes of {rows['length'].sum():.0f} steps together, and says {info.total_frames}")
        return rows

    def _file(self, template: str, place: tuple[float, float], key: str = "") -> Path:
        chunk, number = (int(part) for part in place)
        if max(chunk, number) >= _MAX_FILES:
            self._info.fail(f"says that steps are in file {number} of chunk {chunk}")
        return self._info.path / template.format(video_key=key, chunk_index=chunk, file_index=number)

    def _read_data(
        self,
        path: Path,
        inside: Sequence[int],
        lengths: np.ndarray,
        scalars: Sequence[str],
        videos: Sequence[str],
        columns: list[dict[str, np.ndarray]],
    ) -> None:
        """Read the steps of some episodes from the file that holds them."""
        keys = [key for key in (*self._keys.keys, self._keys.action, *scalars) if key not in videos]
        with _parquet(path) as file:
            if file.metadata.num_rows > self._info.total_frames:
                self._info.fail(f"has {file.metadata.num_rows} steps in {path}, and says {self._info.total_frames}")
            table = self._columns(file, path, [*keys, "episode_index", "timestamp"])
            index = self._numbers(path, table, "episode_index", ())[:, 0]
            for episode in inside:
                at = np.flatnonzero(index == episode)
                length = int(lengths[episode])
                if len(at) != length or at[-1] - at[0] != length - 1:
                    self._info.fail(f"has {len(at)} of {length} steps of episode {episode} side by side in {path}")
                part = table.slice(int(at[0]), length)
                for key in keys:
                    columns[episode][key] = self._read_column(path, part, key)
                columns[episode]["timestamp"] = self._numbers(path, part, "timestamp", ())

    def _read_column(self, path: Path, table: Any, key: str) -> np.ndarray:
        dtype, shape = self._info.features[key]
        under = self._keys.keys.get(key, ())
        if not (under and under[0].kind == "image"):
            return self._numbers(path, table, key, shape).astype(np.float32)
        if dtype != "image":
            self._info.fail(f"has {dtype} in {key}, where images were expected; say by its name where they are")
        return self._images(path, table, key, under[0])

    def _images(self, path: Path, table: Any, key: str, feature: Feature) -> np.ndarray:
        images = np.empty((table.num_rows, *feature.shape), feature.dtype)
        for row, value in enumerate(table.column(key)):
            value = value.as_py()
            content = value.get("bytes") if isinstance(value, dict) else None
            if content is None:
                self._info.fail(f"has no image of {key} in {path}: it lies elsewhere; embed it by LeRobot's tools")
            try:
                images[row] = decode_file(content, feature.shape, feature.dtype)
            except ValueError as error:
                self._info.fail(f"has an image of {key} in {path} that cannot be read: it {error}")
        return images

    def _read_videos(self, key: str, rows: dict[str, np.ndarray], columns: list[dict[str, np.ndarray]]) -> None:
        """Decode the images of a camera, file by file."""
        fps, (_, shape) = self._info.fps, self._info.features[key]
        feature = self._keys.keys[key][0]
        if shape[2:] != (3,) or feature.dtype != "uint8":
            self._info.fail(f"has a video of other than colours of bytes in {key}, which is not read")
        files: dict[tuple[float, float], dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for episode in range(self._info.total_episodes):
            place = rows[f"videos/{key}/chunk_index"][episode], rows[f"videos/{key}/file_index"][episode]
            times = columns[episode]["timestamp"][:, 0] + rows[f"videos/{key}/from_timestamp"][episode]
            if not (times.min() >= 0.0 and times.max() * fps < 2**31):
                self._info.fail(f"has times in episode {episode} at which {key} has no image")
            for row, number in enumerate(np.rint(times * fps).astype(np.int64).tolist()):
                files[place][number].append((episode, row))
            columns[episode][key] = np.empty((len(times), *shape), np.uint8)
        with Progress(self._info.total_frames, f"decoding {key.removeprefix(IMAGES)}", "image") as progress:
            for place, wanted in files.items():
                for number, image in read_video(self._file(VIDEOS, place, key), fps, shape, wanted):
                    for episode, row in wanted[number]:
                        columns[episode][key][row] = image
                        progress.advance()

    def _columns(self, file: Any, path: Path, names: Sequence[str]) -> Any:
        known = set(file.schema_arrow.names)
        if missing := [name for name in names if name not in known]:
            self._info.fail(f"lacks the column {missing[0]} in {path}")
        return file.read(columns=list(names))

    def _numbers(self, path: Path, table: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a column of finite numbers as (rows, size), whatever lists they stand in."""
        import pyarrow as pa

        column, size = table.column(name).combine_chunks(), int(np.prod(shape, dtype=np.int64))
        kind = column.type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            if column.null_count:
                break
            column = column.flatten()
            kind = column.type
        numbers = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
        if not numbers or column.null_count or len(column) != table.num_rows * size:
            expected = f"{size} numbers a step" if size > 1 else "a number a step"
            self._info.fail(f"has no column {name} of {expected} in {path}")
        values = column.to_numpy(zero_copy_only=False)
        if not np.isfinite(values).all():
            self._info.fail(f"holds NaN or infinity in {name} of {path}")
        return values.reshape(table.num_rows, size)


@contextmanager
def _parquet(path: Path):  # noqa: ANN202 - pyarrow, which may not be installed
    """Open a file of parquet while the block lasts, in which damage may be found as well."""
    parquet, pa = import_extra("pyarrow.parquet"), import_extra("pyarrow")
    path = existing_file(path, "table")
    try:
        with parquet.ParquetFile(path) as file:
            declared = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if declared > physical_memory():
                raise ZprlError(f"the table {path} is larger than this machine's memory; point to another data set.")
            yield file
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise ZprlError(
            f"the table {path} is truncated, damaged or no parquet ({one_sentence(error)}); copy the data set again."
        ) from error
