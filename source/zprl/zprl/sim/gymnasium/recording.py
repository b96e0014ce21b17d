# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Recording of demonstrations in any environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from zprl.data import Demonstration, save_demonstrations
from zprl.envs.chunk_loop import ChunkLoop
from zprl.envs.task_env import TaskEnv, episode_seed
from zprl.sim.gymnasium.worlds_cfg import WorldsCfg
from zprl.spec import Observations

MAX_PARALLEL_DEMOS = 32
"""Largest number of worlds that demonstrate at once."""


def worlds_for(num_demos: int) -> int:
    """Return how many worlds demonstrate at once."""
    return min(num_demos, MAX_PARALLEL_DEMOS)


def record_into_memory(env_cfg: WorldsCfg, task: str) -> None:
    """Do nothing: what Isaac Lab's environments are told here is not theirs alone to know."""


class Demonstrator(Protocol):
    """What demonstrates, such as a :class:`zprl.tasks.experts.Expert`."""

    def reset(self, env_ids: torch.Tensor) -> None:
        """Start anew in some worlds, given by their indices (n,)."""
        ...

    def act(self) -> torch.Tensor:
        """Return the next action (num_envs, action_dim)."""
        ...


def collect_demonstrations(
    env: TaskEnv,
    expert: Demonstrator,
    path: Path,
    num_demos: int,
    quality: str,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Record demonstrations into an HDF5 file, as :func:`zprl.sim.isaaclab.recording.collect_demonstrations` does.

    Worlds run in waves and each gives one episode of the wave, failures included. Episode i begins where the seed made
    of (seed, i) says.

    Args:
        env: The environment.
        expert: What demonstrates.
        path: File to create or to replace, complete or not at all.
        num_demos: Number of episodes.
        quality: How well it demonstrates, for the file.
        seed: Seed of initial states, for the file.
        on_progress: Called with the number of new episodes whenever some end.

    Returns:
        ``num_demos``, ``successes`` and ``env_steps``.
    """
    episodes: list[Demonstration] = []
    steps = 0
    while len(episodes) < num_demos:
        wave = range(len(episodes), min(len(episodes) + env.num_envs, num_demos))
        recorded = _record_wave(env, expert, [episode_seed(seed, episode) for episode in wave], on_progress)
        steps += sum(len(episode.actions) for episode in recorded)
        episodes += recorded
    save_demonstrations(path, env.spec, episodes, quality, seed)
    return {
        "num_demos": num_demos,
        "successes": sum(episode.success for episode in episodes),
        "env_steps": steps,
    }


def _record_wave(
    env: TaskEnv, expert: Demonstrator, seeds: list[int], on_progress: Callable[[int], None] | None
) -> list[Demonstration]:
    loop, count = ChunkLoop(env), len(seeds)
    loop.begin(env.reset_to(seeds), count)
    expert.reset(torch.arange(env.num_envs, device=env.device))
    seen: list[Observations] = []
    actions, rewards, ends = [], [], []
    lengths = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)
    while loop.running.any():
        seen.append(loop.obs)
        action = expert.act()
        for _, step, ended in loop.execute(action[:, None]):
            lengths += loop.running
            if on_progress is not None and ended.any():
                on_progress(int(ended.sum()))
            rewards.append(step.reward.clone())
            ends.append(ended.clone())
        actions.append(action)
    observed = {name: _by_world([obs[name] for obs in seen], count) for name in seen[0]}
    acted, rewarded, done = (_by_world(values, count) for values in (actions, rewards, ends))
    return [
        Demonstration(
            {name: values[world, :length] for name, values in observed.items()},
            acted[world, :length],
            rewarded[world, :length],
            done[world, :length],
            bool(loop.succeeded[world]),
        )
        for world, length in enumerate(lengths[:count].tolist())
    ]


def _by_world(values: list[torch.Tensor], count: int) -> np.ndarray:
    """Return what was recorded step by step with the first ``count`` worlds in front (count, T, ...)."""
    return torch.stack(values, dim=1)[:count].cpu().numpy()
