# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Deterministic evaluation: every episode's outcome depends on its own seed and on nothing beside it.

Episode i of seed s starts from the state that the task's reset events draw with the generators seeded by (s, i), so
two policies, two checkpoints or two machines meet the same situations. Observations carry no noise. Episodes run in
waves, as many at once as there are environments; an environment that is done idles until its wave ends.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from isaaclab.utils.seed import configure_seed

from zprl.evaluation.statistics import policy_summary
from zprl.spec import EnvLayout

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

ChunkPlanner = Callable[[Tensor, Tensor | None], Tensor]
"""Maps raw observations (N, obs_dim) and initial noise (N, H, A) or None to action chunks (N, H, A).

A planner that acts in closed loop has two attributes more: ``execute_steps``, how many actions of its chunks are
executed, and ``begin_episodes``, which is called when all worlds begin an episode.
"""


@dataclass
class EpisodeResults:
    """Outcomes of the episodes of one policy, in episode order.

    Attributes:
        successes: Whether each episode succeeded.
        steps: Environment steps of each episode.
        positions: End-effector positions before each action [m], one (T_i, 3) array per episode; empty if the task does
            not observe them.
        step_dt: Control period [s].
    """

    step_dt: float
    successes: list[bool] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)

    def extend(self, others: EpisodeResults) -> None:
        """Append the outcomes of the episodes that follow."""
        self.successes += others.successes
        self.steps += others.steps
        self.positions += others.positions

    def summary(self) -> dict[str, Any]:
        """Return success rate with interval, mean steps and smoothness; see :func:`policy_summary`."""
        return policy_summary(self.successes, self.steps, self.positions, self.step_dt)


def episode_seed(seed: int, episode: int) -> int:
    """Return the seed of an episode's generators, which depends on no other episode."""
    return int(np.random.SeedSequence((seed, episode)).generate_state(1)[0] % 2**31)


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore Python's, NumPy's and torch's global generators afterwards."""
    python, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)


@contextlib.contextmanager
def observation_noise_off(env: ManagerBasedRLEnv) -> Iterator[None]:
    """Switch the observation noise off for a while."""
    terms = [term for group in env.observation_manager._group_obs_term_cfgs.values() for term in group]
    saved = [term.noise for term in terms]
    try:
        for term in terms:
            term.noise = None
        yield
    finally:
        for term, noise in zip(terms, saved, strict=True):
            term.noise = noise


def initial_states(env: ManagerBasedRLEnv, seed: int, episodes: range) -> dict[str, Any]:
    """Draw the initial states of some episodes.

    Args:
        env: The environment; its worlds are overwritten.
        seed: Seed of the evaluation.
        episodes: Episode numbers, at most ``env.num_envs``.

    Returns:
        A state for ``env.reset_to``, relative to the environments' origins, one row per environment; rows beyond the
        episodes repeat the last one.
    """
    env.scene.reset()
    with preserved_random_state():
        for row, episode in enumerate(episodes):
            configure_seed(episode_seed(seed, episode))
            ids = torch.tensor([row], device=env.device, dtype=torch.int32)
            env.event_manager.apply(mode="reset", env_ids=ids, global_env_step_count=0)
    state = env.scene.get_state(is_relative=True)
    rows = torch.arange(env.num_envs, device=env.device).clamp(max=len(episodes) - 1)
    return _map_tensors(state, lambda value: value[rows].clone())


def _map_tensors(tree: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(tree, dict):
        return {name: _map_tensors(value, function) for name, value in tree.items()}
    return function(tree)


class Evaluator:
    """Evaluates policies of a task on fixed initial states.

    Args:
        env: The environment. Its state is overwritten by an evaluation.
        layout: The task's layout.
        execute_steps: Environment steps executed of each chunk.
    """

    def __init__(self, env: ManagerBasedRLEnv, layout: EnvLayout, execute_steps: int) -> None:
        self.env = env
        self.layout = layout
        self.execute_steps = execute_steps
        self._states: dict[tuple[int, int, int], dict[str, Any]] = {}

    def noise(self, shape: tuple[int, int], seed: int, episodes: range) -> Tensor:
        """Draw the flow's initial noise for every replan of some episodes.

        Args:
            shape: Horizon and action size.
            seed: Seed of the evaluation.
            episodes: Episode numbers.

        Returns:
            Noise, shape (num_envs, replans, horizon, action_dim); rows beyond the episodes are zero.
        """
        replans = -(-self.env.max_episode_length // self.execute_steps)
        noise = torch.zeros(self.env.num_envs, replans, *shape)
        for row, episode in enumerate(episodes):
            generator = torch.Generator().manual_seed(episode_seed(seed + 1, episode))
            noise[row] = torch.randn(replans, *shape, generator=generator)
        return noise.to(self.env.device)

    @torch.inference_mode()
    def run(
        self,
        planner: ChunkPlanner,
        episodes: int | range,
        seed: int,
        noise_shape: tuple[int, int] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> EpisodeResults:
        """Evaluate a policy.

        Args:
            planner: The policy.
            episodes: Number of episodes, or their consecutive numbers.
            seed: Seed of the initial states.
            noise_shape: Horizon and action size of the flow's sampled initial noise, or None to pass none.
            on_progress: Called with the number of episodes done after each wave.

        Returns:
            The outcomes, in episode order.
        """
        numbers = range(episodes) if isinstance(episodes, int) else episodes
        results = EpisodeResults(self.layout.step_dt)
        with observation_noise_off(self.env):
            for first in numbers[:: self.env.num_envs]:
                wave = range(first, min(first + self.env.num_envs, numbers.stop))
                key = (seed, first, len(wave))
                if key not in self._states:
                    self._states[key] = initial_states(self.env, seed, wave)
                noise = None if noise_shape is None else self.noise(noise_shape, seed, wave)
                self.begin_wave(seed, wave)
                self._run_wave(planner, self._states[key], episode_seed(seed, first), len(wave), noise, results)
                if on_progress is not None:
                    on_progress(len(results.successes))
        return results

    def begin_wave(self, seed: int, episodes: range) -> None:
        """Prepare the worlds for the episodes that come next; a subclass may change them here.

        Args:
            seed: Seed of the evaluation.
            episodes: Episode numbers.
        """

    def ee_position(self, obs: Tensor) -> Tensor | None:
        """Return where the end effector is [m], shape (N, 3), given the observations; see :class:`EnvLayout`."""
        return self.layout.ee_position(obs)

    def _run_wave(
        self,
        planner: ChunkPlanner,
        state: dict[str, Any],
        reset_seed: int,
        count: int,
        noise: Tensor | None,
        results: EpisodeResults,
    ) -> None:
        env = self.env
        # A task may draw more at a reset than the state holds, such as masses; every policy gets the same draws.
        with preserved_random_state():
            configure_seed(reset_seed)
            obs, _ = env.reset_to(state, is_relative=True)
        obs = obs["policy"].clone()  # type: ignore[index]
        running = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        running[:count] = True
        success = torch.zeros_like(running)
        steps = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)
        idle = torch.zeros(env.num_envs, env.action_manager.total_action_dim, device=env.device)
        trace: list[Tensor] = []
        execute_steps = getattr(planner, "execute_steps", self.execute_steps)
        getattr(planner, "begin_episodes", lambda: None)()
        for replan in range(-(-env.max_episode_length // execute_steps)):
            chunk = planner(obs, None if noise is None else noise[:, replan * execute_steps // self.execute_steps])
            for k in range(execute_steps):
                position = self.ee_position(obs)
                if position is not None:
                    trace.append(position.clone())
                steps += running
                step_obs, _, terminated, truncated, _ = env.step(torch.where(running[:, None], chunk[:, k], idle))
                obs = step_obs["policy"].clone()  # type: ignore[index]
                ended = (terminated | truncated) & running
                if "success" in env.termination_manager.active_terms:
                    success |= env.termination_manager.get_term("success") & ended
                running &= ~ended
            if not running.any():  # once per chunk, all that this loop asks of the device
                break
        lengths = steps[:count].tolist()
        results.successes += success[:count].tolist()
        results.steps += lengths
        if trace:
            positions = torch.stack(trace, dim=1)[:count].cpu().numpy()
            results.positions += [positions[i, :length] for i, length in enumerate(lengths)]
