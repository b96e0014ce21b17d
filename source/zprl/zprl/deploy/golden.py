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
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zprl.envs.chunk_loop import ChunkLoop
from zprl.envs.task_env import TaskEnv, episode_seed
from zprl.spec import Observations, TaskSpec
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from _typeshed import StrPath

    from zprl.deploy.contract import Contract
    from zprl.deploy.steered import SteeredPolicy

_ARRAYS = ("episode", "action", "plan_step", "chunk", "latent")
_OBS = "obs"


@dataclass(frozen=True)
class Recording:
    """Recorded episodes; see the module's text for the arrays.

    Attributes:
        obs: Observations by group: vectors of all T control steps, and images of the R replans.
        episode: Number of each step's episode (T,).
        action: Executed actions (T, A).
        plan_step: Control steps at which a chunk was planned (R,).
        chunk: The chunks (R, H, A).
        latent: The latents (R, L).
    """

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
        return {k: v if is_image(v) else v[self.plan_step] for k, v in self.obs.items()}

    def to_bytes(self) -> bytes:
        """Return the content of ``golden.npz``."""
        alone = len(self.obs) == 1 and not any(map(is_image, self.obs.values()))
        arrays: dict[str, Any] = {_OBS if alone else f"{_OBS}.{name}": value for name, value in self.obs.items()}
        file = io.BytesIO()
        np.savez(file, **arrays, **{name: getattr(self, name) for name in _ARRAYS})
        return file.getvalue()


def is_image(value: np.ndarray) -> bool:
    """Whether recorded observations are images: those of a vector have two dimensions."""
    return value.ndim != 2


def read_recording(path: StrPath, contract: Contract | None = None) -> Recording:
    """Read a recording.

    Args:
        path: The file.
        contract: The contract of its bundle, which names the groups; None calls the vector of a policy that has only
            one ``obs``.

    Raises:
        ZprlError: If it lacks an array or cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if _OBS in arrays:
                obs = {_OBS if contract is None else contract.observation.groups[0].name: arrays[_OBS]}
            else:
                names = [name.removeprefix(f"{_OBS}.") for name in arrays.files if name.startswith(f"{_OBS}.")]
                if contract is not None:
                    names = [group.name for group in contract.observation.groups]
                obs = {name: arrays[f"{_OBS}.{name}"] for name in names}
            if not obs:
                raise KeyError(_OBS)
            return Recording(obs, **{name: arrays[name] for name in _ARRAYS})
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ZprlError(f"the recording {path} cannot be read ({error}); export the policy again.") from error


@torch.inference_mode()
def record_episodes(
    env: TaskEnv, spec: TaskSpec, reference: SteeredPolicy, execute_steps: int, seed: int, min_steps: int = 256
) -> Recording:
    """Let a policy act until enough control steps are recorded, from the initial states of an evaluation.

    Args:
        env: The environment.
        spec: What the policy sees; its groups are the reference's inputs.
        reference: The policy in double precision. What is executed is its chunk, rounded to float32.
        execute_steps: Actions executed of each chunk.
        seed: Seed of the initial states.
        min_steps: Number of control steps to record at least; the last wave of episodes is completed.
    """
    recorder = _Recorder(env, spec, reference, execute_steps)
    rows: list[dict[str, np.ndarray]] = []
    episode, total = 0, 0
    with env.noiseless():
        while total < min_steps:
            seeds = [episode_seed(seed, number) for number in range(episode, episode + env.num_envs)]
            for row in recorder.wave(seeds):
                length = len(row["action"])
                row["episode"] = np.full(length, episode, dtype=np.int32)
                row["plan_step"] = (total + np.arange(0, length, execute_steps)).astype(np.int32)
                rows.append(row)
                episode, total = episode + 1, total + length
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    obs = {group.name: columns.pop(f"{_OBS}.{group.name}") for group in spec.groups}
    return Recording(obs, **columns)


class _Recorder:
    """Records one episode in each world at a time; see :func:`record_episodes`."""

    def __init__(self, env: TaskEnv, spec: TaskSpec, reference: SteeredPolicy, execute_steps: int) -> None:
        self.env, self.spec, self.reference, self.execute_steps = env, spec, reference, execute_steps

    def wave(self, seeds: list[int]) -> Iterator[dict[str, np.ndarray]]:
        """Yield the arrays of each world's episode, observations as ``obs.<group>``."""
        loop, lengths = ChunkLoop(self.env), torch.zeros(self.env.num_envs, dtype=torch.long)
        loop.begin(self.env.reset_to(seeds))
        steps: dict[str, list[Tensor]] = {"action": []}
        plans: dict[str, list[Tensor]] = {"chunk": [], "latent": []}
        while loop.running.any():
            self._note(plans, loop.obs, images=True)
            # Row by row: the chunk of an observation must not depend on what else is recorded.
            inputs = [_doubled(loop.obs[group.name]) for group in self.spec.groups]
            singles = [[value[i : i + 1] for value in inputs] for i in range(self.env.num_envs)]
            chunk = torch.cat([self.reference(*row) for row in singles]).float()
            plans["chunk"].append(chunk)
            latent = torch.cat([self.reference.latent(*row) for row in singles]).float()
            plans["latent"].append(latent)
            for k, _, _ in loop.execute(chunk[:, : self.execute_steps].to(self.env.device)):
                self._note(steps, loop.obs, images=False)
                steps["action"].append(chunk[:, k])
                lengths += loop.running.cpu()
        columns = {name: torch.stack(values, dim=1).numpy() for name, values in (steps | plans).items()}
        for world, length in enumerate(lengths.tolist()):
            replans = -(-length // self.execute_steps)
            yield {name: column[world, : length if name in steps else replans] for name, column in columns.items()}

    def _note(self, rows: dict[str, list[Tensor]], obs: Observations, images: bool) -> None:
        for group in self.spec.groups:
            if group.is_image == images:
                rows.setdefault(f"{_OBS}.{group.name}", []).append(obs[group.name].cpu().clone())


def _doubled(value: Tensor) -> Tensor:
    return value.cpu().double() if value.is_floating_point() else value.cpu()
