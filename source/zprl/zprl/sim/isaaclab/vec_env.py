# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's environments as learners act in them from scratch, step by step, without a base policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isaaclab.utils.seed import configure_seed
from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


class StepVecEnv(RslRlVecEnvWrapper):
    """Isaac Lab's wrapper for rsl_rl, with what :class:`zprl.rl.SteeringRunner` asks of an environment.

    Args:
        env: The environment.
        clip_actions: Largest magnitude of an action, or None.
    """

    execute_steps = 1
    """Environment steps of an action."""

    env_steps = 0
    """Environment steps taken so far, as the runner says."""

    def __init__(self, env: ManagerBasedRLEnv, clip_actions: float | None) -> None:
        super().__init__(env, clip_actions)  # type: ignore[arg-type]

    @property
    def total_envs(self) -> int:
        """Number of worlds."""
        return self.num_envs

    def restart(self, seed: int) -> None:
        """Reset every world, and every random stream to a seed."""
        configure_seed(seed)
        self.env.reset()

    def pop_counts(self) -> tuple[int, int, int]:
        """Return that no episode succeeded, failed or diverged: a dense reward tells none apart."""
        return 0, 0, 0
