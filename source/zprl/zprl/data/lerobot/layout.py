# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How a LeRobotDataset of version 3 is laid out, and its packages, which the extra ``lerobot`` brings.

::

    meta/info.json                                      features, frequency, numbers of episodes and steps
    meta/stats.json                                     statistics of every feature, to normalise by
    meta/tasks.parquet                                  instruction by number
    meta/episodes/chunk-000/file-000.parquet            a row per episode: where its steps and its images are
    meta/zprl.json                                      in ours alone: the spec, as the attribute ``zprl`` of HDF5
    data/chunk-000/file-000.parquet                     a row per step, of many episodes
    videos/<feature>/chunk-000/file-000.mp4             images that are videos, of many episodes
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from zprl.spec import Feature, Group
from zprl.utils.errors import NotInstalledError, ZprlError
from zprl.utils.files import load_json, reading
from zprl.utils.outputs import check_unclaimed
from zprl.utils.strict_json import NUMBER, require_form

VERSION = "v3.0"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
OURS = "meta/zprl.json"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEOS = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

CHUNK_SIZE = 1000
"""Most files of a folder ``chunk-*``."""
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200
"""Size from which the next file begins [MiB]."""

STATE, ENVIRONMENT_STATE, IMAGES = "observation.state", "observation.environment_state", "observation.images."
ACTION, REWARD, DONE, SUCCESS = "action", "next.reward", "next.done", "next.success"

INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""What every data set has of a step, beside its features."""

_FORM = {"codebase_version": str, "fps": NUMBER, "total_episodes": int, "total_frames": int, "data_path": str}


def import_extra(name: str) -> Any:
    """Import a module of the packages that these data sets need, and return it.

    Raises:
        NotInstalledError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise NotInstalledError(
            f"data sets of LeRobot need the package {package}; install it with `pip install 'zprl[lerobot]'`."
        ) from error


def usual_key(group: Group, feature: Feature, needed: bool = True) -> str:
    """Return under which key LeRobot has a feature.

    Args:
        group: Its group.
        feature: The feature.
        needed: Whether the policy sees the group; states of other groups have no usual place.
    """
    if group.is_image:
        return f"{IMAGES}{feature.name}"
    if group.kind == "privileged":
        return ENVIRONMENT_STATE
    return STATE if needed else f"observation.{feature.name}"


def is_lerobot(path: Path) -> bool:
    """Return whether a path is the folder of a data set of LeRobot, of whatever version."""
    return (path / INFO).is_file()


@dataclass(frozen=True)
class Info:
    """What ``meta/info.json`` says.

    Attributes:
        path: Folder of the data set.
        fps: Steps per second.
        features: dtype and shape of every feature; an image's shape is (height, width, channels).
        total_episodes: Number of episodes.
        total_frames: Number of steps of all episodes.
    """

    path: Path
    fps: int
    features: Mapping[str, tuple[str, tuple[int, ...]]]
    total_episodes: int
    total_frames: int

    @classmethod
    def read(cls, path: Path) -> Info:
        """Read it and check that it is of a version and a layout that this project knows.

        Raises:
            ZprlError: If it is missing, malformed or another one.
        """
        check_unclaimed(path, "data set")
        what = "description of the LeRobot data set"
        values = load_json(path / INFO, what, {**_FORM, "features": {}})
        version = values["codebase_version"]
        if not version.startswith("v3."):
            cls(path, 0, {}, 0, 0).fail(
                f"is of version {version[:20]}, and this ZPRL reads version 3; convert it by LeRobot's "
                "`python -m lerobot.scripts.convert_dataset_v21_to_v30`"
            )
        features = {}
        with reading(path / INFO, what):
            for key, feature in values["features"].items():
                require_form(feature, {"dtype": str, "shape": [int]}, f"features.{key}")
                if any(size < 1 for size in feature["shape"]):
                    raise ValueError(f"features.{key}.shape has a size below 1")
                features[key] = feature["dtype"], tuple(feature["shape"])
        fps = values["fps"]
        info = cls(path, int(fps), features, values["total_episodes"], values["total_frames"])
        if int(fps) != fps or fps < 1:
            info.fail(f"has {fps} steps a second, and LeRobot counts in whole ones; resample it")
        if min(info.total_episodes, info.total_frames) < 1:
            info.fail("holds no episode")
        videos = [values.get("video_path")] if info.videos else []
        if [values["data_path"], *videos] != [DATA, VIDEOS][: 1 + len(videos)]:
            info.fail("names its files in a way of its own; copy it by LeRobot's tools, which name them as usual")
        return info

    @property
    def videos(self) -> list[str]:
        """Keys of the images that are videos."""
        return [key for key, (dtype, _) in self.features.items() if dtype == "video"]

    def fail(self, problem: str) -> NoReturn:
        """Refuse the data set by a sentence that begins with it."""
        raise ZprlError(f"the LeRobot data set {self.path} {problem}.")
