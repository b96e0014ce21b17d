# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Collection of demonstrations by a task's scripted expert, through Isaac Lab's recorder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import h5py
import torch

from isaaclab.utils.string import string_to_callable

from zprl.envs.layout import EnvLayout
from zprl.errors import ZprlError

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


def record_to(env_cfg: ManagerBasedRLEnvCfg, task: str, folder: Path, name: str) -> None:
    """Configure an environment to record episodes of a task into ``folder/name.hdf5``."""
    from zprl.tasks.mdp import TaskRecorderManagerCfg

    recorders = TaskRecorderManagerCfg()
    recorders.dataset_export_dir_path = str(folder)
    recorders.dataset_filename = name
    env_cfg.recorders = recorders
    # The recorder writes it into the file, from which Isaac Lab and robomimic make the environment again.
    env_cfg.env_name = task  # pyright: ignore[reportAttributeAccessIssue]


def collect_demonstrations(
    make_env: Callable[[Path, str], ManagerBasedRLEnv],
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
        make_env: Makes the environment, recording into the given folder and file name; see :func:`record_to`.
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
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    try:
        env = make_env(folder, "demonstrations")
        try:
            expert = WaypointExpert(cfg, env, quality, seed)
            layout = EnvLayout.of(task, env)
            successes, steps = _record(env, expert, num_demos, seed, on_progress)
        finally:
            env.close()
        recorded = folder / "demonstrations.hdf5"
        with h5py.File(recorded, "r+") as file:
            file["data"].attrs["zprl"] = json.dumps(
                {"format_version": 1, **layout.to_dict(), "quality": quality, "seed": seed, "num_demos": num_demos}
            )
        with open(recorded, "rb") as file:
            os.fsync(file.fileno())
        os.replace(recorded, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
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
        env.reset(seed=seed + first)
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
