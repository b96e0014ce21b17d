# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Collection of demonstrations by a task's scripted expert, through Isaac Lab's recorder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import h5py
import torch

from isaaclab.utils.datasets import HDF5DatasetFileHandler
from isaaclab.utils.datasets.hdf5_dataset_file_handler import DATASET_FORMAT_VERSION
from isaaclab.utils.string import string_to_callable

from zprl.spec import EnvLayout
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg

    from zprl.tasks.experts import WaypointExpertCfg

MAX_PARALLEL_DEMOS = 256
"""Largest number of worlds that demonstrate at once."""


def expert_cfg_of(task: str) -> WaypointExpertCfg:
    """Return the configuration of a task's expert.

    Args:
        task: Registered task id.

    Raises:
        ZprlError: If the task registers no ``expert_entry_point``.
    """
    entry_point = gym.spec(task).kwargs.get("expert_entry_point")
    if entry_point is None:
        raise ZprlError(
            f"task {task} has no scripted expert; pass --dataset_file with demonstrations of your own, or register an "
            "expert_entry_point for it."
        )
    return string_to_callable(entry_point)()


def worlds_for(num_demos: int) -> int:
    """Return how many worlds demonstrate at once: every world gives equally many episodes."""
    return min(num_demos, MAX_PARALLEL_DEMOS)


class InMemoryHDF5File(HDF5DatasetFileHandler):
    """Isaac Lab's file of episodes, built in memory.

    The HDF5 library crashes the process when the disk is full; bytes that are written at the end raise an exception.
    """

    def create(self, file_path: str, env_name: str | None = None) -> None:
        """Begin an empty file; see :meth:`HDF5DatasetFileHandler.create`.

        Args:
            file_path: Name of the file, which is not written.
            env_name: Task id, from which Isaac Lab and robomimic make the environment again.
        """
        file = h5py.File(file_path, "w", driver="core", backing_store=False)
        file.attrs["format_version"] = DATASET_FORMAT_VERSION
        self._hdf5_file_stream = file
        self._hdf5_data_group = file.create_group("data")
        self._hdf5_data_group.attrs["total"] = 0
        self.add_env_args({"env_name": env_name or "", "type": 2})

    def image(self, attributes: dict[str, str]) -> bytes:
        """Return the content of the file.

        Args:
            attributes: Attributes to add to the group ``data``.
        """
        assert self._hdf5_file_stream is not None
        self._hdf5_data_group.attrs.update(attributes)
        self.flush()
        return self._hdf5_file_stream.id.get_file_image()


def record_into_memory(env_cfg: ManagerBasedRLEnvCfg, task: str) -> None:
    """Configure an environment to record the episodes of a task into an :class:`InMemoryHDF5File`."""
    from zprl.tasks.mdp import TaskRecorderManagerCfg

    env_cfg.recorders = TaskRecorderManagerCfg(dataset_file_handler_class_type=InMemoryHDF5File)
    env_cfg.env_name = task  # pyright: ignore[reportAttributeAccessIssue]


def collect_demonstrations(
    make_env: Callable[[], ManagerBasedRLEnv],
    task: str,
    path: Path,
    num_demos: int,
    quality: str,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Record demonstrations into an HDF5 file in Isaac Lab's format.

    Worlds run in waves and each gives its first episode of the wave, failures included; taking whatever ends first
    would prefer short episodes, which are the successful ones. The same arguments give the same file.

    Args:
        make_env: Makes the environment, which :func:`record_into_memory` has configured.
        task: Task id.
        path: File to create or to replace, complete or not at all.
        num_demos: Number of episodes.
        quality: "mixed" or "expert".
        seed: Seed of initial states and of the expert's noise.
        on_progress: Called with the number of new episodes whenever some end.

    Returns:
        ``num_demos``, ``successes`` and ``env_steps``.

    Raises:
        ZprlError: If the task has no expert.
    """
    from zprl.tasks.experts import WaypointExpert

    cfg = expert_cfg_of(task)
    env = make_env()
    recorded: Any = env.recorder_manager._dataset_file_handler
    try:
        expert = WaypointExpert(cfg, env, quality, seed)
        layout = EnvLayout.of(task, env)
        successes, steps = _record(env, expert, num_demos, seed, on_progress)
        meta = {"format_version": 1, **layout.to_dict(), "quality": quality, "seed": seed, "num_demos": num_demos}
        image = recorded.image({"zprl": json.dumps(meta)})
    finally:
        # The environment is a cycle, and until it is collected HDF5 would refuse another file of this name.
        recorded.close()
        env.close()
    with atomic_write(path) as file:
        file.write(image)
    return {"num_demos": num_demos, "successes": successes, "env_steps": steps}


def _record(
    env: ManagerBasedRLEnv, expert: Any, num_demos: int, seed: int, on_progress: Callable[[int], None] | None
) -> tuple[int, int]:
    """Run waves until ``num_demos`` first episodes are recorded; return successes and environment steps."""
    recorder = env.recorder_manager
    export = recorder.export_episodes
    pending: set[int] = set()
    first = 0

    def export_first_episodes(env_ids: list[int] | None = None, demo_ids: list[int] | None = None) -> None:
        ids = [i for i in (range(env.num_envs) if env_ids is None else env_ids) if i in pending]
        if ids:
            export(ids, [first + i for i in ids])
            pending.difference_update(ids)

    recorder.export_episodes = export_first_episodes  # type: ignore[method-assign]
    successes = steps = 0
    while first < num_demos:
        # Far apart, so that no other seed begins with this wave.
        env.reset(seed=(seed + 1_000_003 * first) % 2**31)
        expert.reset(torch.arange(env.num_envs, device=env.device))
        count = min(env.num_envs, num_demos - first)
        pending.update(range(count))
        while pending:
            before = len(pending)
            running = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
            running[list(pending)] = True
            _, _, terminated, truncated, _ = env.step(expert.act())
            steps += before
            ended = terminated | truncated
            successes += int((env.termination_manager.get_term("success") & ended & running).sum())
            if ended.any():
                expert.reset(ended.nonzero().squeeze(-1))
            if on_progress is not None and len(pending) < before:
                on_progress(before - len(pending))
        first += count
    return successes, steps
