# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What an environment is to policies, learners and evaluations, whatever simulates it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from zprl.spec import Observations, TaskSpec
from zprl.utils.constraints import NUM_SEEDS


@dataclass
class Step:
    """What the worlds answered to an action.

    Attributes:
        observations: Observations, of the fresh episode where one has ended. Tensors may be the environment's own
            buffers, which the next step overwrites.
        reward: Rewards (N,).
        terminated: Whether the episode ended by its rules (N,).
        truncated: Whether it ended by running out of time (N,).
        success: Whether the task was solved with this step (N,).
        diverged: Whether the simulation of the world has failed and was reset (N,).
        final_observations: Where an episode has ended, the observations before the reset; None if the environment does
            not tell, or none has ended.
    """

    observations: Observations
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    success: Tensor
    diverged: Tensor
    final_observations: Observations | None = None


class TaskEnv(Protocol):
    """N worlds of a task. A world whose episode ends begins the next one within the same step."""

    spec: TaskSpec
    num_envs: int
    """Number of worlds N."""
    device: str
    """Device of all tensors."""
    max_episode_length: int
    """Longest episode [control steps]."""
    staggers: bool
    """Whether episodes can begin with used-up time, so that worlds do not all end at once."""
    tells_final_observations: bool
    """Whether steps in which episodes end hold ``final_observations``."""

    @property
    def elapsed(self) -> Tensor:
        """Control steps of each running episode (N,), integers. Where :attr:`staggers`, it can be set."""
        ...

    @elapsed.setter
    def elapsed(self, value: Tensor) -> None: ...

    def reset(self, seed: int | None = None) -> Observations:
        """Begin an episode in every world.

        Args:
            seed: Seed of the environment's generators and of Python's, NumPy's and torch's, or None to go on.
        """
        ...

    def reset_to(self, seeds: Sequence[int]) -> Observations:
        """Begin an episode in every world, each from the state that its own seed draws.

        No global generator is disturbed.

        Args:
            seeds: At most N seeds; worlds beyond them get the last one's state.
        """
        ...

    def step(self, action: Tensor) -> Step:
        """Do one control step.

        Args:
            action: Actions (N, A).
        """
        ...

    def noiseless(self) -> AbstractContextManager[None]:
        """Switch the observation noise off while a block lasts."""
        ...

    def close(self) -> None:
        """Free what the environment holds; calling it again does nothing."""
        ...


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


def episode_seed(seed: int, episode: int) -> int:
    """Return the seed of an episode's generators, which depends on no other episode."""
    return int(np.random.SeedSequence((seed, episode)).generate_state(1)[0] % NUM_SEEDS)
