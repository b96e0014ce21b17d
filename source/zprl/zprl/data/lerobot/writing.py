# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Writing of LeRobotDatasets of version 3: the folder is complete, or as it was before."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zprl.data.demonstrations import Demonstration, Demonstrations, Metadata, require_fit
from zprl.data.lerobot import layout, statistics
from zprl.data.lerobot.images import ENCODINGS, Encoding, VideoWriter, encode_file, is_depth, writable
from zprl.data.lerobot.layout import ACTION, DONE, ENVIRONMENT_STATE, REWARD, SUCCESS, import_extra, usual_key
from zprl.data.lerobot.statistics import Statistics
from zprl.spec import Feature, TaskSpec
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump, atomic_write, naming_errors
from zprl.utils.folders import atomic_folder
from zprl.utils.progress import Progress


def frames_per_second(spec: TaskSpec) -> int:
    """Return a task's control frequency [Hz].

    Raises:
        ZprlError: If it is no whole number, which LeRobot wants.
    """
    fps = round(1.0 / spec.step_dt)
    if fps < 1 or abs(fps * spec.step_dt - 1.0) > 1e-6:
        raise ZprlError(
            f"task {spec.task} runs at {1.0 / spec.step_dt:g} Hz, and LeRobot's data sets are of a whole number of "
            "steps a second; keep the data set as HDF5."
        )
    return fps


def save_lerobot(
    path: Path, demos: Demonstrations, encoding: str = "png", environment_state: Sequence[str] = ()
) -> None:
    """Write demonstrations as a data set that LeRobot reads and that says what this project's own do.

    Args:
        path: Folder to make or to replace.
        demos: The demonstrations.
        encoding: How images are written, one of :data:`zprl.data.lerobot.images.ENCODINGS`.
        environment_state: Terms of kind state that stand under "observation.environment_state" nevertheless, which some
            of LeRobot's policies want to see.

    Raises:
        ZprlError: If LeRobot has no place for something, a term is none of the task's state, or the demonstrations do
            not fit their spec.
        NotInstalledError: If the packages of the extra ``lerobot`` are not installed.
        OSError: If the folder cannot be written.
    """
    import_extra("pyarrow.parquet")
    writer = _Writer(demos, ENCODINGS[encoding], environment_state)
    with atomic_folder(path) as place, naming_errors(path, place):
        writer.write(place)


class _Writer:
    """Writes one data set."""

    def __init__(self, demos: Demonstrations, encoding: Encoding, environment_state: Sequence[str] = ()) -> None:
        self._demos, self._encoding, self._spec = demos, encoding, demos.spec
        self._moved = tuple(environment_state)
        states = [f.name for group in demos.spec.groups if group.kind == "state" for f in group.features]
        if odd := [name for name in self._moved if name not in states]:
            raise ZprlError(
                f"{odd[0]} is no state of task {demos.task}, which could be {ENVIRONMENT_STATE}; it has "
                f"{', '.join(states) or 'none'}."
            )
        self._fps = frames_per_second(demos.spec)
        if not demos.episodes:
            raise ZprlError(f"the data set {demos.path} holds no demonstration; LeRobot has no place for none.")
        require_fit(demos.spec, demos.episodes)
        self._vectors: dict[str, list[tuple[str, slice, Feature]]] = {}
        self._images: dict[str, tuple[str, Feature]] = {}
        for group in demos.spec.groups:
            for name, at in {} if group.is_image else group.slices().items():
                feature = next(feature for feature in group.features if feature.name == name)
                key = ENVIRONMENT_STATE if name in self._moved else usual_key(group, feature)
                self._vectors.setdefault(key, []).append((group.name, at, feature))
            if group.is_image:
                if not writable(feature := group.features[0]):
                    raise ZprlError(
                        f"the image {feature} of task {demos.task} has no place in a data set of LeRobot, whose images "
                        "are of one moment and of 1 or 3 bytes or one float32 a pixel; leave it out or keep the data "
                        "set as HDF5."
                    )
                self._images[usual_key(group, feature)] = group.name, feature
        lengths = [len(episode.actions) for episode in demos.episodes]
        self._starts = list(itertools.accumulate(lengths, initial=0))
        self._videos = [
            key for key, (_, feature) in self._images.items() if encoding.video and feature.shape[2:] == (3,)
        ]
        if self._videos:
            import_extra("av")

    def write(self, place: Path) -> None:
        """Write everything below a folder."""
        starts = self._starts
        rows = [
            {
                "episode_index": index,
                "tasks": [self._spec.task],
                "length": end - start,
                "dataset_from_index": start,
                "dataset_to_index": end,
            }
            for index, (start, end) in enumerate(itertools.pairwise(starts))
        ]
        with Progress(starts[-1], "writing a data set of LeRobot", "step") as progress:
            for index, (chunk, number) in enumerate(self._write_data(place, progress)):
                rows[index] |= {"data/chunk_index": chunk, "data/file_index": number}
        for key in self._videos:
            for index, (chunk, number, start, end) in enumerate(self._write_videos(place, key)):
                rows[index] |= {
                    f"videos/{key}/chunk_index": chunk,
                    f"videos/{key}/file_index": number,
                    f"videos/{key}/from_timestamp": start / self._fps,
                    f"videos/{key}/to_timestamp": end / self._fps,
                }
        for index in range(len(rows)):
            part = self._statistics([index])
            rows[index] |= {f"stats/{key}/{name}": value for key, by in part.items() for name, value in by.items()}
            rows[index] |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._write_meta(place, rows)

    # -- meta

    def _write_meta(self, place: Path, rows: list[dict[str, Any]]) -> None:
        pa = import_extra("pyarrow")
        demos, count = self._demos, len(rows)
        _write_table(place / layout.EPISODES.format(chunk_index=0, file_index=0), pa.Table.from_pylist(rows))
        tasks = pa.table({"task_index": pa.array([0], pa.int64()), "task": pa.array([self._spec.task])})
        index = {"index_columns": ["task"], "column_indexes": [], "pandas_version": "2.3.3"}
        described = [("task_index", "int64", "int64"), ("task", "unicode", "object")]
        index["columns"] = [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in described
        ]
        # LeRobot reads it by Pandas, as a table whose rows are named by the instruction.
        _write_table(place / layout.TASKS, tasks.replace_schema_metadata({"pandas": json.dumps(index)}))
        atomic_json_dump(self._statistics(range(count)), place / layout.STATS)
        metadata = Metadata(self._spec, demos.quality, demos.seed, count).to_dict()
        masks = {name: list(indices) for name, indices in demos.masks.items()}
        ours = {**metadata, "env_args": demos.env_args, "masks": masks}
        if self._moved:
            ours["features"] = {key: [part.name for _, _, part in parts] for key, parts in self._vectors.items()}
        atomic_json_dump(ours, place / layout.OURS)
        info = {
            "codebase_version": layout.VERSION,
            "fps": self._fps,
            "features": self._features(),
            "total_episodes": count,
            "total_frames": demos.num_steps,
            "total_tasks": 1,
            "chunks_size": layout.CHUNK_SIZE,
            "data_files_size_in_mb": layout.DATA_FILE_MB,
            "video_files_size_in_mb": layout.VIDEO_FILE_MB,
            "data_path": layout.DATA,
            "video_path": layout.VIDEOS if self._videos else None,
            "robot_type": None,
            "splits": {"train": f"0:{count}"},
        }
        atomic_json_dump(info, place / layout.INFO)

    def _features(self) -> dict[str, Any]:
        """Return what ``info.json`` says of every column."""

        def feature(dtype: str, names: list[str] | None = None, shape: Sequence[int] = (1,)) -> dict[str, Any]:
            return {"dtype": dtype, "shape": list(shape), "names": names}

        features = {}
        for key, parts in self._vectors.items():
            names = [name for _, _, part in parts for name in _numbered(part.name, part.size)]
            features[key] = feature("float32", names, [len(names)])
        acting = [name for term in self._spec.actions for name in _numbered(term.name, term.size)]
        features[ACTION] = feature("float32", acting, [len(acting)])
        for key, (_, image) in self._images.items():
            kind = "video" if key in self._videos else "image"
            features[key] = feature(kind, ["height", "width", "channels"], image.shape)
            if key in self._videos:
                features[key]["info"] = {
                    "video.height": image.shape[0],
                    "video.width": image.shape[1],
                    "video.codec": "h264",
                    "video.pix_fmt": "gbrp" if self._encoding.lossless else _pixels(image.shape),
                    "video.fps": self._fps,
                    "video.channels": 3,
                    "has_audio": False,
                    "is_depth_map": False,
                }
            elif is_depth(image):
                features[key]["info"] = {"is_depth_map": True, "depth_unit": "m"}
        features |= {REWARD: feature("float32"), DONE: feature("bool"), SUCCESS: feature("bool")}
        return features | {key: feature("float32" if key == "timestamp" else "int64") for key in layout.INDICES}

    def _statistics(self, indices: Sequence[int]) -> dict[str, Statistics]:
        """Return the statistics of every column over some episodes, by their indices."""
        made, episodes = {}, [self._demos.episodes[index] for index in indices]
        for key in self._vectors:
            made[key] = statistics.of_vectors(np.concatenate([self._vector(key, episode) for episode in episodes]))
        scalars = [self._scalars(episode) for episode in episodes]
        for part, index in zip(scalars, indices, strict=True):
            part |= {key: values[:, None] for key, values in self._indices(index).items()}
        for key in scalars[0]:
            made[key] = statistics.of_vectors(np.concatenate([part[key] for part in scalars]))
        for key, (group, feature) in self._images.items():
            images = [episode.observations[group] for episode in episodes]
            if is_depth(feature):
                made[key] = statistics.of_depths(np.concatenate(images))
            else:
                counts = sum(statistics.histogram(part) for part in images)
                made[key] = statistics.of_histogram(counts, sum(map(len, images)))  # type: ignore[arg-type]
        return made

    # -- data

    def _vector(self, key: str, episode: Demonstration) -> np.ndarray:
        parts = [episode.observations[group][:, at] for group, at, _ in self._vectors[key]]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _scalars(self, episode: Demonstration) -> dict[str, np.ndarray]:
        """Return an episode's columns beside observations and indices."""
        length = len(episode.actions)
        success = np.zeros(length, bool)
        success[-1] = episode.success
        return {
            ACTION: np.asarray(episode.actions, np.float32),
            REWARD: np.asarray(episode.rewards, np.float32)[:, None],
            DONE: np.asarray(episode.dones, bool)[:, None],
            SUCCESS: success[:, None],
        }

    def _indices(self, index: int) -> dict[str, np.ndarray]:
        """Return the columns by which the steps of an episode are found, shape (T,)."""
        steps = np.arange(len(self._demos.episodes[index].actions))
        return {
            "timestamp": (steps / self._fps).astype(np.float32),
            "frame_index": steps,
            "episode_index": np.full_like(steps, index),
            "index": self._starts[index] + steps,
            "task_index": np.zeros_like(steps),
        }

    def _write_data(self, place: Path, progress: Progress) -> Iterator[tuple[int, int]]:
        """Write the steps, a row group per episode, and yield each episode's chunk and file."""
        parquet = import_extra("pyarrow.parquet")
        content, writer, number = io.BytesIO(), None, 0
        for index, episode in enumerate(self._demos.episodes):
            table = self._table(index, episode)
            if writer is None:
                content = io.BytesIO()
                writer = parquet.ParquetWriter(content, table.schema, compression="snappy")
            writer.write_table(table)
            yield divmod(number, layout.CHUNK_SIZE)
            progress.advance(len(episode.actions))
            if content.tell() >= layout.DATA_FILE_MB << 20 or index == len(self._demos.episodes) - 1:
                writer.close()
                chunk, file = divmod(number, layout.CHUNK_SIZE)
                _write(place / layout.DATA.format(chunk_index=chunk, file_index=file), content)
                writer, number = None, number + 1

    def _table(self, index: int, episode: Demonstration) -> Any:
        pa = import_extra("pyarrow")
        length = len(episode.actions)
        columns = {key: _column(self._vector(key, episode)) for key in self._vectors}
        columns |= {key: _column(values) for key, values in self._scalars(episode).items()}
        kinds: dict[str, Any] = {}
        for key, (group, _) in self._images.items():
            if key not in self._videos:
                files = [encode_file(image) for image in episode.observations[group]]
                paths = [f"frame-{row:06d}.png" for row in range(length)]
                columns[key] = pa.StructArray.from_arrays(
                    [pa.array(files, pa.binary()), pa.array(paths)], ["bytes", "path"]
                )
                kinds[key] = {"_type": "Image"}
        columns |= {key: pa.array(values) for key, values in self._indices(index).items()}
        for key, column in columns.items():
            if key not in kinds:
                nested = pa.types.is_fixed_size_list(column.type)
                value = {"dtype": _hf_type(column.type.value_type if nested else column.type), "_type": "Value"}
                kinds[key] = {"feature": value, "length": column.type.list_size, "_type": "List"} if nested else value
        # By which Hugging Face's own tools know which columns are images.
        hint = json.dumps({"info": {"features": kinds}})
        return pa.table(columns).replace_schema_metadata({"huggingface": hint})

    def _write_videos(self, place: Path, key: str) -> Iterator[tuple[int, int, int, int]]:
        """Write a camera's videos; yield each episode's chunk and file, and where in it its images begin and end."""
        (group, feature), number, writer = self._images[key], 0, None
        with Progress(self._demos.num_steps, f"encoding {feature.name}", "image") as progress:
            for index, episode in enumerate(self._demos.episodes):
                writer = writer or VideoWriter(self._fps, feature.shape, self._encoding)
                start = writer.frames
                writer.add(episode.observations[group])
                progress.advance(len(episode.actions))
                chunk, file = divmod(number, layout.CHUNK_SIZE)
                yield chunk, file, start, writer.frames
                if writer.size >= layout.VIDEO_FILE_MB << 20 or index == len(self._demos.episodes) - 1:
                    path = layout.VIDEOS.format(video_key=key, chunk_index=chunk, file_index=file)
                    _write(place / path, io.BytesIO(writer.close()))
                    writer, number = None, number + 1


def _numbered(name: str, size: int) -> list[str]:
    return [name] if size == 1 else [f"{name}.{i}" for i in range(size)]


def _pixels(shape: Sequence[int]) -> str:
    return "yuv444p" if shape[0] % 2 or shape[1] % 2 else "yuv420p"


def _hf_type(kind: Any) -> str:
    return {"float": "float32"}.get(str(kind), str(kind))


def _column(values: np.ndarray) -> Any:
    """Return numbers (T, D) as a column: of lists, or of plain numbers if D is 1."""
    pa = import_extra("pyarrow")
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return flat if values.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _write_table(path: Path, table: Any) -> None:
    content = io.BytesIO()
    import_extra("pyarrow.parquet").write_table(table, content, compression="snappy")
    _write(path, content)


def _write(path: Path, content: io.BytesIO) -> None:
    # Made in memory first: a full disk is then Python's own error, which names the file.
    with atomic_write(path) as file:
        file.write(content.getbuffer())
