# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Recorded episodes that an exported policy has to reproduce, wherever it runs.

``golden.npz`` holds, uncompressed, with T control steps and R replans:

================  =================  ===================================================================
``obs``           (T, D) float32     observation before each control step, of a policy of one vector
``obs.<group>``   (T, D) float32     of a policy of several groups, each vector likewise
``obs.<group>``   (R, ...)           and each image, in its own dtype, as it was planned on
``episode``       (T,) int32         number of the episode that the step belongs to; they lie one after another
``action``        (T, A) float32     executed action
``plan_step``     (R,) int32         control steps at which a chunk was planned, on what was observed before them
``chunk``         (R, H, A) float32  the chunk, rounded from double precision
``latent``        (R, L) float32     mean z of the latent, likewise; L is 0 for a policy without one
================  =================  ===================================================================
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zprl.envs.chunk_loop import ChunkLoop
from zprl.envs.task_env import TaskEnv, episode_seed
from zprl.spec import Group
from zprl.utils.errors import ZprlError, first_line
from zprl.utils.files import read_file

if TYPE_CHECKING:
    from _typeshed import StrPath

    from zprl.deploy.contract import Contract
    from zprl.deploy.source import Source
    from zprl.deploy.steered import SteeredPolicy

_ARRAYS = ("episode", "action", "plan_step", "chunk", "latent")
_OBS = "obs"
_MIN_STEPS = 256
"""Number of control steps to record at least."""


@dataclass(frozen=True)
class Recording:
    """Recorded episodes: the arrays of the module's text, with the observations by group."""

    obs: Mapping[str, np.ndarray]
    episode: np.ndarray
    action: np.ndarray
    plan_step: np.ndarray
    chunk: np.ndarray
    latent: np.ndarray

    @property
    def num_episodes(self) -> int:
        """Number of episodes."""
        return len(np.unique(self.episode))

    @property
    def num_steps(self) -> int:
        """Number of control steps T."""
        return len(self.episode)

    def episode_actions(self) -> Iterator[np.ndarray]:
        """Actions (T_i, A) of each episode."""
        for episode in np.unique(self.episode):
            yield self.action[self.episode == episode]

    def planned_on(self) -> dict[str, np.ndarray]:
        """What each chunk was planned on, by group: (R, ...) each."""
        return {k: v if _is_image(v) else v[self.plan_step] for k, v in self.obs.items()}

    def to_bytes(self) -> bytes:
        """Return the content of ``golden.npz``."""
        alone = len(self.obs) == 1 and not any(map(_is_image, self.obs.values()))
        arrays: dict[str, Any] = {_OBS if alone else f"{_OBS}.{name}": value for name, value in self.obs.items()}
        file = io.BytesIO()
        np.savez(file, **arrays, **{name: getattr(self, name) for name in _ARRAYS})
        return file.getvalue()


def _is_image(value: np.ndarray) -> bool:
    return value.ndim != 2  # as the rows of a vector have one


def read_recording(path: StrPath, contract: Contract | None = None) -> Recording:
    """Read a recording.

    The contract of its bundle names the groups; None calls the vector of a policy that has only one ``obs``.

    Raises:
        ZprlError: If it cannot be read, or lacks an array or holds one of another shape or type, numbers that are not
            finite, or a plan at a step that it does not hold.
    """
    content = read_file(path, "recording")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_archive(archive, len(content))
            recording = _read(archive, contract)
            _check(recording, contract)
            return recording
    except Exception as error:  # reading arbitrary bytes can raise anything
        reason = first_line(error)
        raise ZprlError(f"the recording {path} cannot be read ({reason}); export the policy again.") from error


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Check that an archive's entries are what they say, uncompressed, and lie side by side in its bytes."""
    entries = archive.infolist()
    if any(e.compress_type != zipfile.ZIP_STORED or e.compress_size != e.file_size for e in entries):
        raise ValueError("it is compressed")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its arrays overlap")
    if len({entry.filename for entry in entries}) != len(entries):
        raise ValueError("it holds an array twice")


def _read(archive: zipfile.ZipFile, contract: Contract | None) -> Recording:
    def array(name: str) -> np.ndarray:
        with archive.open(f"{name}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False)  # type: ignore[arg-type]

    files = {name.removesuffix(".npy") for name in archive.namelist()}
    if _OBS in files:
        obs = {_OBS if contract is None else contract.observation.groups[0].name: array(_OBS)}
    else:
        names = [name.removeprefix(f"{_OBS}.") for name in archive.namelist() if name.startswith(f"{_OBS}.")]
        names = [name.removesuffix(".npy") for name in names]
        if contract is not None:
            names = [group.name for group in contract.observation.groups]
        obs = {name: array(f"{_OBS}.{name}") for name in names}
    if not obs:
        raise KeyError(_OBS)
    return Recording(obs, **{name: array(name) for name in _ARRAYS})


def _check(recording: Recording, contract: Contract | None) -> None:
    """Check that the arrays have the shapes and types of the module's text; without a contract, as far as it goes."""
    steps, plans = len(np.atleast_1d(recording.episode)), len(np.atleast_1d(recording.plan_step))
    action = recording.action.shape[1:] if contract is None else (contract.action_size,)
    horizon = recording.chunk.shape[1:2] if contract is None else (contract.control.horizon,)
    latent = recording.latent.shape[1:] if contract is None else (contract.latent.size if contract.latent else 0,)
    expected: dict[str, tuple[str, tuple[int, ...]]] = {
        "episode": ("int32", (steps,)),
        "action": ("float32", (steps, *action)),
        "plan_step": ("int32", (plans,)),
        "chunk": ("float32", (plans, *horizon, *action)),
        "latent": ("float32", (plans, *latent)),
    }
    arrays = {name: getattr(recording, name) for name in _ARRAYS}
    for group in contract.observation.groups if contract is not None else ():
        rows = plans if group.kind == "image" else steps
        expected[f"{_OBS}.{group.name}"] = (group.dtype, (rows, *group.row_shape))
        arrays[f"{_OBS}.{group.name}"] = recording.obs[group.name]
    for name, (dtype, shape) in expected.items():
        if arrays[name].dtype != dtype or arrays[name].shape != shape:
            found = f"{arrays[name].dtype} of shape {arrays[name].shape}"
            raise ValueError(f"{name} is {found} instead of {dtype} of shape {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds NaN or infinity")
    if steps == 0 or plans == 0:
        raise ValueError("it holds no step")
    if recording.plan_step.min() < 0 or recording.plan_step.max() >= steps:
        raise ValueError(f"plan_step names a step outside of the {steps} recorded ones")


@torch.inference_mode()
def record_episodes(env: TaskEnv, source: Source, reference: SteeredPolicy, seed: int) -> Recording:
    """Let a policy act until enough control steps are recorded, from the initial states of an evaluation.

    The last wave of episodes is completed. What is executed are chunks of the reference, which is the policy in double
    precision, rounded to float32.
    """
    execute_steps, groups = source.base.execute_steps, source.spec.groups
    rows: list[dict[str, np.ndarray]] = []
    episode, total = 0, 0
    with env.noiseless():
        while total < _MIN_STEPS:
            seeds = [episode_seed(seed, number) for number in range(episode, episode + env.num_envs)]
            for row in _record_wave(env, groups, reference, execute_steps, seeds):
                length = len(row["action"])
                row["episode"] = np.full(length, episode, dtype=np.int32)
                row["plan_step"] = (total + np.arange(0, length, execute_steps)).astype(np.int32)
                rows.append(row)
                episode, total = episode + 1, total + length
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    obs = {group.name: columns.pop(f"{_OBS}.{group.name}") for group in groups}
    return Recording(obs, **columns)


def _record_wave(
    env: TaskEnv, groups: tuple[Group, ...], reference: SteeredPolicy, execute_steps: int, seeds: list[int]
) -> Iterator[dict[str, np.ndarray]]:
    """Record an episode in each world, and yield its arrays but for the numbers of episode and steps."""
    loop, lengths = ChunkLoop(env), torch.zeros(env.num_envs, dtype=torch.long)
    loop.begin(env.reset_to(seeds))
    steps: list[dict[str, Tensor]] = []
    plans: list[dict[str, Tensor]] = []
    while loop.running.any():
        seen = [loop.obs[group.name].cpu() for group in groups]
        # Row by row: the chunk of an observation must not depend on what else is recorded.
        singles = [[value[i : i + 1] for value in seen] for i in range(env.num_envs)]
        chunk = torch.cat([reference(*row) for row in singles]).float()
        latent = torch.cat([reference.latent(*row) for row in singles]).float()
        images = {f"{_OBS}.{g.name}": loop.obs[g.name].cpu() for g in groups if g.is_image}
        plans.append({**images, "chunk": chunk, "latent": latent})
        for k, _, _ in loop.execute(chunk[:, :execute_steps].to(env.device)):
            vectors = {f"{_OBS}.{g.name}": loop.obs[g.name].cpu() for g in groups if not g.is_image}
            steps.append({**vectors, "action": chunk[:, k]})
            lengths += loop.running.cpu()
    for world, length in enumerate(lengths.tolist()):
        kept = (steps[:length], plans[: -(-length // execute_steps)])
        yield {name: torch.stack([row[name][world] for row in rows]).numpy() for rows in kept for name in rows[0]}
