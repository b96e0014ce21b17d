# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Recorded episodes that an exported policy has to reproduce, wherever it runs.

``golden.npz`` holds, uncompressed, with T control steps and R replans:

==============  ================  ====================================================================
``obs``         (T, D) float32    observation before each control step
``episode``     (T,) int32        number of the episode that the step belongs to; they lie one after another
``action``      (T, A) float32    executed action
``plan_step``   (R,) int32        control steps at which a chunk was planned, on ``obs`` of that step
``chunk``       (R, H, A) float32  the chunk, rounded from double precision
``latent``      (R, L) float32    mean z of the latent, likewise
==============  ================  ====================================================================
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from _typeshed import StrPath

    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.deploy.steered import SteeredPolicy


@dataclass(frozen=True)
class Recording:
    """Recorded episodes; see the module's text for the arrays."""

    obs: np.ndarray
    episode: np.ndarray
    action: np.ndarray
    plan_step: np.ndarray
    chunk: np.ndarray
    latent: np.ndarray

    @property
    def num_episodes(self) -> int:
        """Number of episodes."""
        return len(np.unique(self.episode))

    def episode_actions(self) -> Iterator[np.ndarray]:
        """Actions (T_i, A) of each episode."""
        for episode in np.unique(self.episode):
            yield self.action[self.episode == episode]

    def to_bytes(self) -> bytes:
        """Return the content of ``golden.npz``."""
        file = io.BytesIO()
        np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})
        return file.getvalue()


def read_recording(path: StrPath) -> Recording:
    """Read a recording.

    Raises:
        ZprlError: If it lacks an array or cannot be read.
    """
    try:
        with np.load(path) as arrays:
            return Recording(**{field.name: arrays[field.name] for field in fields(Recording)})
    except (OSError, KeyError, ValueError) as error:
        raise ZprlError(f"the recording {path} cannot be read ({error}); export the policy again.") from error


@torch.inference_mode()
def record_episodes(
    env: ManagerBasedRLEnv, reference: SteeredPolicy, execute_steps: int, seed: int, min_steps: int = 256
) -> Recording:
    """Let a policy act until enough control steps are recorded, from the initial states of an evaluation.

    Args:
        env: The environment.
        reference: The policy in double precision. What is executed is its chunk, rounded to float32.
        execute_steps: Actions executed of each chunk.
        seed: Seed of the initial states.
        min_steps: Number of control steps to record at least; the last wave of episodes is completed.
    """
    from zprl.evaluation.rollout import initial_states, observation_noise_off

    rows: list[tuple[np.ndarray, ...]] = []
    episode, total = 0, 0
    with observation_noise_off(env):
        while total < min_steps:
            state = initial_states(env, seed, range(episode, episode + env.num_envs))
            for obs, action, chunk, latent in _record_wave(env, reference, execute_steps, state):
                replan = total + np.arange(0, len(obs), execute_steps)
                rows.append((obs, np.full(len(obs), episode), action, replan, chunk, latent))
                episode, total = episode + 1, total + len(obs)
    obs, episodes, action, replan, chunk, latent = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Recording(obs, episodes.astype(np.int32), action, replan.astype(np.int32), chunk, latent)


def _record_wave(
    env: ManagerBasedRLEnv, reference: SteeredPolicy, execute_steps: int, state: dict
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Record one episode in each world; yield its observations, actions, chunks and latents."""
    buffer, _ = env.reset_to(state, is_relative=True)
    obs = buffer["policy"].cpu().clone()  # type: ignore[union-attr]
    running = torch.ones(env.num_envs, dtype=torch.bool)
    lengths = torch.zeros(env.num_envs, dtype=torch.long)
    seen, done, chunks, latents = [], [], [], []
    while running.any():
        # Row by row: the chunk of an observation must not depend on what else is recorded.
        chunks.append(torch.cat([reference(row[None].double()) for row in obs]).float())
        latents.append(torch.cat([reference.latent(row[None].double()) for row in obs]).float())
        for k in range(execute_steps):
            seen.append(obs)
            done.append(chunks[-1][:, k])
            lengths += running
            buffer, _, terminated, truncated, _ = env.step(done[-1].to(env.device))
            obs = buffer["policy"].cpu().clone()  # type: ignore[union-attr]
            running &= ~(terminated | truncated).cpu()
    columns = [torch.stack(rows, dim=1).numpy() for rows in (seen, done, chunks, latents)]
    for world, length in enumerate(lengths.tolist()):
        replans = -(-length // execute_steps)
        yield tuple(  # type: ignore[misc]
            column[world, :count] for column, count in zip(columns, (length, length, replans, replans), strict=True)
        )
