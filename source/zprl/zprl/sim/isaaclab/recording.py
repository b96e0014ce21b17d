# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Recording of demonstrations in an Isaac Lab environment, through Isaac Lab's recorder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import h5py
import torch

from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.envs.mdp.recorders.recorders import InitialStateRecorder, PreStepActionsRecorder
from isaaclab.managers.manager_term_cfg import RecorderTermCfg
from isaaclab.managers.recorder_manager import RecorderManagerBaseCfg, RecorderTerm
from isaaclab.utils import configclass
from isaaclab.utils.datasets import EpisodeData, HDF5DatasetFileHandler
from isaaclab.utils.datasets.hdf5_dataset_file_handler import DATASET_FORMAT_VERSION

from zprl.data import metadata
from zprl.data.hdf5 import write_images
from zprl.envs.chunk_loop import ChunkLoop
from zprl.sim.isaaclab.task_env import SCENE_GROUP, IsaacLabEnv
from zprl.utils.constraints import NUM_SEEDS
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write

MAX_PARALLEL_DEMOS = 256
"""Largest number of worlds that demonstrate at once."""


class Demonstrator(Protocol):
    """What demonstrates, such as a :class:`zprl.tasks.experts.Expert`."""

    def reset(self, env_ids: torch.Tensor) -> None:
        """Start anew in some worlds, given by their indices (n,)."""
        ...

    def act(self) -> torch.Tensor:
        """Return the next action (num_envs, action_dim)."""
        ...


def worlds_for(num_demos: int) -> int:
    """Return how many worlds demonstrate at once: every world gives equally many episodes."""
    return min(num_demos, MAX_PARALLEL_DEMOS)


FINAL_OBSERVATION = "final_obs"
"""What an episode of the recorder calls its last observation; in a file it ends ``next_obs``."""


class ObservationTermsRecorder(RecorderTerm):
    """Record all observations before each step and after the last, one dataset per term of any group.

    Terms that a group keeps apart, such as images, are recorded in their own type and shape.
    """

    def record_pre_step(self) -> tuple[str, dict[str, torch.Tensor]]:
        """Return ``obs`` as {term: (num_envs, ...)}.

        Raises:
            ZprlError: If two groups have a term of the same name.
        """
        return "obs", self._observed(None)

    def record_pre_reset(self, env_ids: Sequence[int] | None) -> tuple[str, dict[str, torch.Tensor]]:
        """Return ``final_obs`` of the worlds whose episodes end as {term: (len(env_ids), ...)}.

        Raises:
            ZprlError: If two groups have a term of the same name.
        """
        rows = None if env_ids is None else torch.as_tensor(env_ids, dtype=torch.long)
        return FINAL_OBSERVATION, self._observed(rows)

    def _observed(self, rows: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Return what some worlds, by their indices, or all of them observe."""
        from zprl.sim.isaaclab.cameras.scene_cameras import cameras_of

        manager, cameras = self._env.observation_manager, cameras_of(self._env)
        observed: dict[str, torch.Tensor] = {}
        for group, values in self._env.obs_buf.items():
            if group == SCENE_GROUP and cameras is not None:
                values = cameras.draw(values, rows)  # type: ignore[arg-type]
            else:
                if isinstance(values, torch.Tensor):
                    dims = [shape[0] for shape in manager.group_obs_term_dim[group]]
                    values = dict(zip(manager.active_terms[group], values.split(dims, dim=1), strict=True))
                values = values if rows is None else {name: value[rows] for name, value in values.items()}
            if twice := observed.keys() & values.keys():
                raise ZprlError(
                    f"the observation group {group} has a term {min(twice)}, and so has another group, but a data set "
                    "holds one of a name; rename one of them."
                )
            observed.update(values)
        return observed


class PostStepRewardsRecorder(RecorderTerm):
    """Record the reward after each step."""

    def record_post_step(self) -> tuple[str, torch.Tensor]:
        """Return ``rewards``, shape (num_envs,)."""
        return "rewards", self._env.reward_buf  # pyright: ignore[reportAttributeAccessIssue]


class PostStepDonesRecorder(RecorderTerm):
    """Record whether the episode ended with each step."""

    def record_post_step(self) -> tuple[str, torch.Tensor]:
        """Return ``dones``, shape (num_envs,)."""
        return "dones", self._env.reset_buf.to(torch.uint8)  # pyright: ignore[reportAttributeAccessIssue]


@configclass
class TaskRecorderManagerCfg(RecorderManagerBaseCfg):
    """Initial state, named observations, actions, rewards and dones of every episode."""

    initial_state = RecorderTermCfg(class_type=InitialStateRecorder)
    observations = RecorderTermCfg(class_type=ObservationTermsRecorder)
    actions = RecorderTermCfg(class_type=PreStepActionsRecorder)
    rewards = RecorderTermCfg(class_type=PostStepRewardsRecorder)
    dones = RecorderTermCfg(class_type=PostStepDonesRecorder)


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

    def write_episode(self, episode: EpisodeData, demo_id: int | None = None, dataset_compression: bool = True) -> None:
        """Add an episode with ``next_obs``, which robomimic's algorithms with a value function learn from.

        Args:
            episode: Its data, of which ``obs`` (T, ...) and ``final_obs`` (1, ...) of each term are made into
                ``next_obs`` (T, ...).
            demo_id: Its number, or None for the next one.
            dataset_compression: Whether to compress it.
        """
        final = episode.data.pop(FINAL_OBSERVATION, None)
        if final is not None:
            seen = episode.data["obs"]
            episode.data["next_obs"] = {name: torch.cat((seen[name][1:], final[name])) for name in seen}
        images = {}
        for part in ("obs", "next_obs"):
            for name, value in list(episode.data.get(part, {}).items()):
                if value.ndim == 4:
                    images[part, name] = episode.data[part].pop(name)
        number = self._demo_count if demo_id is None else demo_id
        super().write_episode(episode, demo_id, dataset_compression)
        for (part, name), frames in images.items():
            group: Any = self._hdf5_data_group[f"demo_{number}/{part}"]
            write_images(group, name, frames.cpu().numpy())

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
    env_cfg.recorders = TaskRecorderManagerCfg(dataset_file_handler_class_type=InMemoryHDF5File)
    env_cfg.env_name = task  # pyright: ignore[reportAttributeAccessIssue]


def collect_demonstrations(
    env: IsaacLabEnv,
    expert: Demonstrator,
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
        env: The environment, made of a configuration that :func:`record_into_memory` changed.
        expert: What demonstrates.
        path: File to create or to replace, complete or not at all.
        num_demos: Number of episodes.
        quality: How well it demonstrates, for the file.
        seed: Seed of initial states, and of the expert's noise, for the file.
        on_progress: Called with the number of new episodes whenever some end.

    Returns:
        ``num_demos``, ``successes`` and ``env_steps``.
    """
    recorded: Any = env.unwrapped.recorder_manager._dataset_file_handler
    try:
        successes, steps = _record(env, expert, num_demos, seed, on_progress)
        image = recorded.image({"zprl": metadata(env.spec, quality, seed, num_demos)})
    finally:
        # The environment is a cycle, and until it is collected HDF5 would refuse another file of this name.
        recorded.close()
    with atomic_write(path) as file:
        file.write(image)
    return {"num_demos": num_demos, "successes": successes, "env_steps": steps}


def _record(
    env: IsaacLabEnv, expert: Demonstrator, num_demos: int, seed: int, on_progress: Callable[[int], None] | None
) -> tuple[int, int]:
    """Run waves until ``num_demos`` first episodes are recorded; return successes and environment steps."""
    recorder: Any = env.unwrapped.recorder_manager
    export = recorder.export_episodes
    loop = ChunkLoop(env, idles=False)  # idle worlds would end at other times, and draw other initial states with it
    first = 0

    def export_first_episodes(env_ids: Any = None, demo_ids: list[int] | None = None) -> None:
        ids = range(env.num_envs) if env_ids is None else env_ids
        pending = [i for i in map(int, ids) if loop.running[i]]
        if pending:
            export(pending, [first + i for i in pending])

    recorder.export_episodes = export_first_episodes
    successes = steps = 0
    while first < num_demos:
        count = min(env.num_envs, num_demos - first)
        loop.running = torch.zeros_like(loop.running)
        # Far apart, so that no other seed begins with this wave.
        loop.begin(env.reset((seed + 1_000_003 * first) % NUM_SEEDS), count)
        expert.reset(torch.arange(env.num_envs, device=env.device))
        while pending := int(loop.running.sum()):
            steps += pending
            for _, step, ended in loop.execute(expert.act()[:, None]):
                over = (step.terminated | step.truncated).nonzero().squeeze(-1)
                if len(over):
                    expert.reset(over)
                if on_progress is not None and ended.any():
                    on_progress(int(ended.sum()))
        successes += int(loop.succeeded.sum())
        first += count
    return successes, steps
