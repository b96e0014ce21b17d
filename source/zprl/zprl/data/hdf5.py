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
    mask/<name>                 names of demonstrations: a subset, robomimic's filter key; may be missing

The attribute ``zprl`` says how the features make up observations, which the form itself leaves open::

    {"format_version": 2, "spec": {...}, "quality": "...", "seed": 0, "num_demos": 100}

where ``spec`` is what :meth:`zprl.spec.TaskSpec.to_dict` returns. Files without it are read by
:mod:`zprl.data.robomimic`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch

from zprl.data.demonstrations import (
    BEYOND_LIMITS,
    Demonstration,
    Demonstrations,
    Metadata,
    metadata,
    require_fit,
)
from zprl.data.hdf5_file import Hdf5File
from zprl.spec import TaskSpec
from zprl.utils.files import atomic_write

if TYPE_CHECKING:
    from _typeshed import StrPath


def save_demonstrations(
    path: StrPath,
    spec: TaskSpec,
    episodes: Sequence[Demonstration],
    quality: str = "given",
    seed: int = 0,
    env_args: Mapping[str, Any] | None = None,
    masks: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Write demonstrations that did not come from a task's expert, complete or not at all.

    Args:
        path: File to create or to replace.
        spec: What was observed and done.
        episodes: The demonstrations.
        quality: Which demonstrator recorded them.
        seed: Seed of the recording.
        env_args: Environment arguments for Isaac Lab and robomimic, or None for none.
        masks: Named subsets of the demonstrations by their indices, or None for none.

    Raises:
        ZprlError: If an episode's arrays do not fit the spec, or its actions go beyond the limits.
        OSError: If the file cannot be written.
    """
    require_fit(spec, episodes)
    # In memory: the HDF5 library crashes the process when the disk is full.
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(len(episode.actions) for episode in episodes)
        data.attrs["zprl"] = metadata(spec, quality, seed, len(episodes))
        if env_args:
            data.attrs["env_args"] = json.dumps(env_args)
        for index, episode in enumerate(episodes):
            demo = data.create_group(f"demo_{index}")
            demo.attrs["num_samples"] = len(episode.actions)
            demo.attrs["success"] = bool(episode.success)
            for group in spec.groups:
                values = episode.observations[group.name]
                if group.is_image:
                    write_images(demo.require_group("obs"), group.features[0].name, values)
                    continue
                for name, place in group.slices().items():
                    demo[f"obs/{name}"] = values[:, place].astype(np.float32)
            demo["actions"] = np.asarray(episode.actions, dtype=np.float32)
            demo["rewards"] = np.asarray(episode.rewards, dtype=np.float32)
            demo["dones"] = np.asarray(episode.dones, dtype=np.uint8)
        for name, indices in (masks or {}).items():
            file[f"mask/{name}"] = np.array([f"demo_{i}".encode() for i in indices], dtype="S")
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def write_images(group: h5py.Group, name: str, images: np.ndarray) -> None:
    """Write an episode's images (T, ...), one per chunk, as readers ask for them, and compressed."""
    chunks = (1, *images.shape[1:])
    group.create_dataset(name, data=images, chunks=chunks, compression="gzip", compression_opts=2)


def read_own(file: Hdf5File) -> Demonstrations:
    """Read a file with the attribute ``zprl``, in the order of the demonstrations' numbers, and check all of it.

    Raises:
        ZprlError: If it holds no demonstration, lacks a key, or holds arrays whose shapes do not fit together or whose
            numbers are not finite, or actions beyond the spec's limits.
    """
    try:
        meta = Metadata.from_dict(file.json_attribute("zprl"), "the attribute 'zprl' of the group 'data'")
    except ValueError as error:
        file.fail(str(error))
    names = file.demo_names()
    if len(names) != meta.num_demos:
        file.fail(f"holds {len(names)} of {meta.num_demos} demonstrations: its recording was cut short")
    return Demonstrations(
        path=file.path,
        spec=meta.spec,
        quality=meta.quality,
        seed=meta.seed,
        episodes=[_read_demo(file, file.member(file.data, name, h5py.Group), meta.spec) for name in names],
        env_args=file.json_attribute("env_args") if "env_args" in file.data.attrs else {},
        masks=file.masks(names),
    )


def _read_demo(file: Hdf5File, demo: h5py.Group, spec: TaskSpec) -> Demonstration:
    actions = file.array(demo, "actions", spec.action_dim)
    length = file.length(demo, actions)
    if beyond := spec.beyond_limits(torch.from_numpy(actions)):
        file.fail(f"holds {beyond}, in {demo.name}; {BEYOND_LIMITS}")
    obs = file.member(demo, "obs", h5py.Group)
    observations = {}
    for group in spec.groups:
        if group.is_image:
            feature = group.features[0]
            observations[group.name] = file.image(obs, feature.name, feature, (length, *group.shape))
        else:
            parts = [file.array(obs, feature.name, feature.size, length) for feature in group.features]
            observations[group.name] = np.concatenate(parts, axis=1)
    rewards = file.array(demo, "rewards", None, length)
    dones = file.array(demo, "dones", None, length).astype(bool)
    success = file.whole(demo, "success")
    if success not in (0, 1):
        file.fail(f"has {success} as the attribute 'success' of {demo.name}, which is neither 0 nor 1")
    return Demonstration(observations, actions, rewards, dones, bool(success))
