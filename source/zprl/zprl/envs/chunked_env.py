# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An Isaac Lab environment whose step executes one action chunk of a steered policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict
from torch import Tensor

from isaaclab.utils.seed import configure_seed

from zprl.utils import processes
from zprl.utils.errors import ZprlError
from zprl.utils.stopwatch import Stopwatch

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.steering import Steering


class ChunkedVecEnv(VecEnv):
    """The decision process of the learner: one step plans a chunk and executes its first Ta actions.

    With gamma the discount of an environment step, a step's reward is the sum of gamma^k r_k over the executed actions,
    and the learner discounts by gamma^Ta between steps. An episode that ends inside a chunk ends the sum with it: the
    rest of the chunk sends the idle action to the fresh episode and its rewards are dropped, so that neither a stale
    action nor a reward crosses the boundary.

    Nothing here waits for the device: what the host wants to know is kept as tensors and read once per iteration, by
    :meth:`pop_counts`.

    Args:
        env: The environment.
        steering: What turns the learner's output into a chunk.
        execute_steps: Number Ta of environment steps per chunk.
        step_discount: Discount gamma of one environment step [dimensionless].
    """

    def __init__(
        self,
        env: ManagerBasedRLEnv,
        steering: Steering,
        execute_steps: int,
        step_discount: float,
    ) -> None:
        self.env = env
        self.steering = steering
        self.execute_steps = execute_steps
        self.step_discount = step_discount
        self.num_envs = env.num_envs
        self.total_envs = env.num_envs * processes.count()
        """Worlds of all processes that learn together."""
        self.num_actions = steering.num_dims
        self.device = env.device
        self.cfg = env.cfg
        self.max_episode_length = env.max_episode_length
        self.idle_action = torch.zeros(self.num_envs, env.action_manager.total_action_dim, device=self.device)
        """Action of a fresh episode until the next chunk: no motion, gripper open."""
        self.simulation_time = Stopwatch(self.device, "zprl.sim.isaaclab.launch")
        """Time spent in the simulator."""
        self.planning_time = Stopwatch(self.device, "zprl.policies")
        """Time spent in the policy."""
        # Episodes, successes, diverged worlds, and observed values that are NaN.
        self._counts = torch.zeros(4, dtype=torch.long, device=self.device)
        self._has_success = "success" in env.termination_manager.active_terms
        self._has_non_finite = "non_finite_state" in env.termination_manager.active_terms
        # In closed loop the features remember the step before, and a look at an episode that is over would disturb it.
        self._keeps_last_observation = getattr(env.cfg, "compute_final_obs", False) and not steering.closed_loop
        self.env_steps = 0
        """Environment steps of the training so far, over all worlds; the runner sets it when a training continues."""
        self._obs = torch.empty(0)
        self._steps_since_restart = 0

    @property
    def episode_length_buf(self) -> Tensor:
        """Environment steps of each running episode, shape (num_envs,)."""
        return self.env.episode_length_buf

    @episode_length_buf.setter
    def episode_length_buf(self, value: Tensor) -> None:
        self.env.episode_length_buf = value

    def restart(self, seed: int) -> None:
        """Reset every environment and every random stream.

        Called at each checkpoint, so that a run that continues from it is the run that was never interrupted.

        Args:
            seed: Seed of Python's, NumPy's, torch's and Warp's generators.
        """
        configure_seed(seed)
        obs, _ = self.env.reset()
        # A fresh tensor: the environment may reuse its buffers.
        self._obs = obs["policy"].clone()  # type: ignore[union-attr]
        self.steering.begin_episodes()
        self._steps_since_restart = 0

    def get_observations(self) -> TensorDict:
        """Return what the learner sees: the observation and the steering's features."""
        if self._obs.numel() == 0:
            self.restart(self.env.cfg.seed or 0)
        return self._learner_observations(self._obs)

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict]:
        """Plan a chunk and execute it.

        Args:
            actions: The learner's output u, shape (num_envs, num_actions).

        Returns:
            Observations, rewards (num_envs,), dones (num_envs,), and extras with ``time_outs`` (num_envs,), by which
            the learner bootstraps, ``executed`` (num_envs, num_actions), the outputs that were executed, and ``log``.
            Where the environment's ``compute_final_obs`` is set, they hold ``final_observations`` as well: what the
            learner would have seen of the worlds that ran out of time, had they not been reset.
        """
        with self.planning_time.running():
            actions = self.steering.explored(actions, self.env_steps)
            chunk = self.steering.plan(self._obs, actions)
        self.env_steps += self.total_envs * self.execute_steps

        rewards = torch.zeros(self.num_envs, device=self.device)
        running = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        time_outs = torch.zeros_like(running)
        last_obs = self._obs.clone() if self._keeps_last_observation else None
        with self.simulation_time.running():
            for k in range(self.execute_steps):
                action = torch.where(running[:, None], chunk[:, k], self.idle_action)
                obs, reward, terminated, truncated, step_extras = self.env.step(action)
                # A diverged world's reward is no reward.
                reward = torch.nan_to_num(reward, nan=0.0, posinf=0.0, neginf=0.0)
                rewards += self.step_discount**k * reward * running
                ended = (terminated | truncated) & running
                time_outs |= truncated & ~terminated & running
                if last_obs is not None and "final_obs" in step_extras:
                    last_obs = torch.where(ended[:, None], step_extras["final_obs"]["policy"], last_obs)
                self._steps_since_restart += 1
                self._count_episodes(ended)
                running &= ~ended
        self._obs = obs["policy"].clone()  # type: ignore[union-attr]
        self.steering.begin_episodes(~running)
        self._counts[3] += self._obs.isnan().sum()

        extras = {"time_outs": time_outs, "executed": actions, "log": self.steering.metrics(actions)}
        if last_obs is not None:
            extras["final_observations"] = self._learner_observations(last_obs)
        return self._learner_observations(self._obs), rewards, (~running).long(), extras

    @property
    def critic_features(self) -> tuple[str, ...]:
        """See :attr:`zprl.steering.Steering.critic_features`."""
        return self.steering.critic_features

    def critic_action(self, seen: Mapping[str, Tensor], u: Tensor) -> Tensor:
        """See :meth:`zprl.steering.Steering.critic_action`."""
        return self.steering.critic_action(seen, u)

    def pop_counts(self) -> tuple[int, int, int]:
        """Return episodes, successes among them, and diverged worlds since the last call, of all processes.

        Raises:
            ZprlError: If an observation after a chunk held NaN, which no reset had repaired.
        """
        counts = processes.gather(self._counts.tolist())
        episodes, successes, diverged, nan_values = (sum(column) for column in zip(*counts, strict=True))
        self._counts.zero_()
        if nan_values:
            raise ZprlError(
                f"the environment returned {nan_values} observed values that are NaN, although worlds that diverge are "
                "reset; check the task's observation terms and reset events."
            )
        return episodes, successes, diverged

    def _learner_observations(self, obs: Tensor) -> TensorDict:
        with self.planning_time.running():
            features = self.steering.features(obs)
        return TensorDict({"policy": obs, **features}, batch_size=[self.num_envs], device=self.device)

    def _count_episodes(self, ended: Tensor) -> None:
        terms = self.env.termination_manager
        if self._has_non_finite:
            self._counts[2] += (terms.get_term("non_finite_state") & ended).sum()
        # Just after a restart only short episodes end, which are the successful ones, and some have begun with used-up
        # time; both would bias the success rate.
        if self._steps_since_restart <= self.max_episode_length:
            return
        self._counts[0] += ended.sum()
        if self._has_success:
            self._counts[1] += (terms.get_term("success") & ended).sum()
