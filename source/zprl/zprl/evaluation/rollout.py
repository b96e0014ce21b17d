# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Deterministic evaluation: every episode's outcome depends on its own seed and on nothing beside it.

Episode i of seed s starts from the state that the task's reset draws with the generators seeded by (s, i), so two
policies, two checkpoints or two machines meet the same situations. Observations carry no noise. Episodes run in waves,
as many at once as there are environments; an environment that is done idles until its wave ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zprl.envs.chunk_loop import LARGEST, ChunkLoop, count_unusable
from zprl.envs.task_env import TaskEnv, episode_seed
from zprl.evaluation.statistics import paired_comparison, policy_summary
from zprl.policies.base import BasePolicy
from zprl.spec import Observations
from zprl.steering import ChunkPolicy, plain_chunks
from zprl.utils.errors import ZprlError
from zprl.utils.progress import Progress


class ChunkPlanner(Protocol):
    """What is evaluated, such as a :class:`zprl.steering.ChunkPolicy`."""

    execute_steps: int
    """Number of actions of a chunk that are executed."""

    def __call__(self, obs: Observations, noise: Tensor | None = None) -> Tensor:
        """Return action chunks (N, T, A) for observations and noise to start from (N, H, A), or None."""
        ...

    def begin_episodes(self) -> None:
        """Forget everything: all worlds begin an episode."""
        ...


@dataclass
class EpisodeResults:
    """Outcomes of the episodes of one policy, in episode order."""

    step_dt: float
    """Control period [s]."""
    successes: list[bool] = field(default_factory=list)
    """Whether each episode succeeded."""
    steps: list[int] = field(default_factory=list)
    """Environment steps of each episode."""
    positions: list[np.ndarray] = field(default_factory=list)
    """Positions of the tracked points before each action [m], (T_i, P, 3) per episode; none if nothing is tracked."""
    joints: list[np.ndarray] = field(default_factory=list)
    """Positions of the joints before each action, (T_i, J) per episode; none if the task names none."""

    def extend(self, others: EpisodeResults) -> None:
        """Append the outcomes of the episodes that follow."""
        self.successes += others.successes
        self.steps += others.steps
        self.positions += others.positions
        self.joints += others.joints

    def summary(self) -> dict[str, Any]:
        """Return success rate with interval, mean steps and smoothness; see :func:`policy_summary`."""
        return policy_summary(self.successes, self.steps, self.positions, self.step_dt, self.joints)


class Evaluator:
    """Evaluates policies of a task on fixed initial states.

    Args:
        env: The environment. Its state is overwritten by an evaluation.
        execute_steps: Environment steps that the base policy executes of each chunk, by which noise is drawn.
    """

    def __init__(self, env: TaskEnv, execute_steps: int) -> None:
        self.env = env
        self.execute_steps = execute_steps

    def noise(self, shape: tuple[int, int], seed: int, episodes: range) -> Tensor:
        """Draw where the base policy's generator starts at every replan of the episodes of these numbers.

        Args:
            shape: Shape (H, A) of a chunk.
            seed: Seed of the evaluation.
            episodes: At most one per world.

        Returns:
            Noise (num_envs, replans, H, A); rows beyond the episodes are zero.
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
            noise_shape: See :attr:`zprl.policies.base.BasePolicy.noise_shape`.
            on_progress: Called with the number of episodes done after each wave.
        """
        numbers = range(episodes) if isinstance(episodes, int) else episodes
        results = EpisodeResults(self.env.spec.step_dt)
        with self.env.noiseless():
            for first in numbers[:: self.env.num_envs]:
                wave = range(first, min(first + self.env.num_envs, numbers.stop))
                noise = None if noise_shape is None else self.noise(noise_shape, seed, wave)
                self.begin_wave(seed, wave)
                self._run_wave(planner, seed, wave, noise, results)
                if on_progress is not None:
                    on_progress(len(results.successes))
        return results

    def begin_wave(self, seed: int, episodes: range) -> None:
        """Prepare the worlds for the episodes of these numbers; a subclass may change them here."""

    def measured(self, obs: Observations) -> Observations:
        """Return the observations before the step taken last by which smoothness is measured."""
        return obs

    def _run_wave(
        self, planner: ChunkPlanner, seed: int, episodes: range, noise: Tensor | None, results: EpisodeResults
    ) -> None:
        env, loop, count = self.env, ChunkLoop(self.env), len(episodes)
        loop.begin(env.reset_to([episode_seed(seed, episode) for episode in episodes]), count)
        planner.begin_episodes()
        steps = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)
        points: list[Tensor] = []
        joints: list[Tensor] = []
        taken = planner.execute_steps
        for replan in range(-(-env.max_episode_length // taken)):
            _require_usable(env, loop.obs)
            chunk = planner(loop.obs, None if noise is None else noise[:, replan * taken // self.execute_steps])
            for _ in loop.execute(chunk[:, :taken]):
                obs = self.measured(loop.obs)
                for trace, values in ((points, env.spec.positions(obs)), (joints, env.spec.joint_positions(obs))):
                    if values is not None:
                        trace.append(values)
                steps += loop.running
            if not loop.running.any():  # once per chunk, as the check: all that this loop asks of the device
                break
        lengths = steps[:count].tolist()
        results.successes += loop.succeeded[:count].tolist()
        results.steps += lengths
        for trace, kept in ((points, results.positions), (joints, results.joints)):
            if trace:
                values = torch.stack(trace, dim=1)[:count].cpu().numpy()
                kept += [values[i, :length] for i, length in enumerate(lengths)]


def _require_usable(env: TaskEnv, obs: Observations) -> None:
    """Refuse observations that no policy can act on."""
    if not count_unusable(obs):
        return
    counts = {name: int(count_unusable({name: value})) for name, value in obs.items()}
    found = ", ".join(f"{count} of {name}" for name, count in counts.items() if count)
    raise ZprlError(
        f"task {env.spec.task} observed values that are NaN, infinite or beyond {LARGEST:g}: {found}; no policy can "
        "act on them. Check its observation terms, cameras and reset events."
    )


def run_all(
    evaluator: Evaluator,
    planners: Mapping[str, ChunkPlanner],
    episodes: int,
    seed: int,
    noise_shape: tuple[int, int] | None = None,
) -> dict[str, EpisodeResults]:
    """Evaluate policies, by name, on the same episodes, and show how far it is; see :meth:`Evaluator.run`."""
    outcomes = {}
    with Progress(len(planners) * episodes, "evaluating", "episode") as progress:
        for name, planner in planners.items():

            def advance(done: int, before: int = progress.done) -> None:
                progress.advance(before + done - progress.done)

            outcomes[name] = evaluator.run(planner, episodes, seed, noise_shape, advance)
    return outcomes


def bottleneck_gap(evaluator: Evaluator, base: BasePolicy, episodes: int, seed: int) -> dict[str, Any]:
    """Measure what the bottleneck costs a base policy.

    Returns:
        ``plain`` and ``bottleneck`` summaries and the ``gap`` between their success rates, plain minus bottleneck, with
        the ends ``gap_low`` and ``gap_high`` of its 95 % interval.
    """
    shape = base.noise_shape
    bottleneck = evaluator.run(ChunkPolicy(base, base.act, base.mixes_rows("latent")), episodes, seed, shape)
    plain = evaluator.run(plain_chunks(base), episodes, seed, shape)
    gap = paired_comparison(bottleneck.successes, plain.successes)
    return {
        "plain": plain.summary(),
        "bottleneck": bottleneck.summary(),
        "gap": gap.difference,
        "gap_low": gap.low,
        "gap_high": gap.high,
    }


def compare(base: EpisodeResults, steered: EpisodeResults) -> dict[str, Any]:
    """Return both summaries and their paired comparison, as the result table takes them."""
    return {
        "base": base.summary(),
        "steered": steered.summary(),
        "comparison": asdict(paired_comparison(base.successes, steered.successes)),
    }
