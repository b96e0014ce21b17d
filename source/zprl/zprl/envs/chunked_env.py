# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A task's environment whose step executes one action chunk of a steered policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict
from torch import Tensor

from zprl.envs.chunk_loop import LARGEST, ChunkLoop, count_unusable, is_usable, own
from zprl.envs.lazy_observations import rows_of
from zprl.envs.task_env import Step, TaskEnv
from zprl.spec import Observations
from zprl.utils import processes
from zprl.utils.errors import ZprlError
from zprl.utils.stopwatch import Stopwatch

if TYPE_CHECKING:
    from zprl.policies.base import Plan
    from zprl.steering import Steering


class ChunkedVecEnv(VecEnv):
    """The decision process of the learner: one step plans a chunk and executes its first Ta actions.

    With gamma the discount of an environment step, a step's reward is the sum of gamma^k r_k over the executed actions,
    and the learner discounts by gamma^Ta between steps. An episode that ends inside a chunk ends the sum with it: the
    rest of the chunk sends the idle action to the fresh episode and its rewards are dropped, so that neither a stale
    action nor a reward crosses the boundary.

    An observation is encoded once: what the learner sees of it and the chunk that follows come from one plan. Nothing
    here waits for the device: what the host wants to know is kept as tensors and read once per iteration, by
    :meth:`pop_counts`.

    Args:
        env: The environment.
        steering: What turns the learner's output into a chunk.
        groups: Observation groups and parts of the plan that the learner sees beside the steering's features; no
            images.
        step_discount: Discount gamma of one environment step [dimensionless].
        seed: Seed of the first reset, if nobody calls :meth:`restart` before.
        final_observations: Whether the learner makes use of them, where the environment tells them.

    Raises:
        ZprlError: If the environment has no such group, or it is an image.
    """

    def __init__(
        self,
        env: TaskEnv,
        steering: Steering,
        groups: Sequence[str],
        step_discount: float,
        seed: int = 0,
        final_observations: bool = True,
    ) -> None:
        self.env = env
        self.steering = steering
        self.groups = list(groups)
        for name in self.groups:
            if not steering.shows(name) and env.spec.group(name, who="the learner").is_image:
                raise ZprlError(
                    f"the learner is to see the images {name}, which would fill its storage; let it see features of "
                    "the base policy, such as latent, in agent.obs_groups."
                )
        self.execute_steps = steering.execute_steps
        self.step_discount = step_discount
        self.num_envs = env.num_envs
        self.total_envs = env.num_envs * processes.count()
        """Worlds of all processes that learn together."""
        self.num_actions = steering.num_dims
        # What an off-policy learner asks of an environment; see :class:`zprl.rl.sac.SAC`.
        self.critic_action = steering.critic_action
        self.device = env.device
        self.cfg = {}
        self.max_episode_length = env.max_episode_length
        self.simulation_time = Stopwatch(self.device, "zprl.simulation")
        """Time spent in the simulator."""
        self.planning_time = Stopwatch(self.device, "zprl.policy")
        """Time spent in the policy."""
        self.env_steps = 0
        """Environment steps of the training so far, over all worlds; the runner sets it when a training continues."""
        # Episodes, successes, diverged worlds, and unusable rewards and observed values.
        self._counts = torch.zeros(5, dtype=torch.long, device=self.device)
        # In closed loop the policy remembers the step before, and a look at an episode that is over would disturb it.
        told = env.tells_final_observations and not steering.closed_loop
        self._keeps_final_observations = told and final_observations
        self._loop = ChunkLoop(env)
        self._plan: Plan | None = None
        self._seed = seed
        self._steps_since_restart = 0

    @property
    def episode_length_buf(self) -> Tensor:
        """Environment steps of each running episode, shape (num_envs,)."""
        return self.env.elapsed

    @episode_length_buf.setter
    def episode_length_buf(self, value: Tensor) -> None:
        self.env.elapsed = value

    def restart(self, seed: int) -> None:
        """Reset every environment and every random stream.

        Called at each checkpoint, so that a run that continues from it is the run that was never interrupted.

        Args:
            seed: Seed of the environment's, Python's, NumPy's and torch's generators.
        """
        self._loop.begin(self.env.reset(seed))
        self.steering.policy.begin_episodes()
        self._plan = self.steering.policy.encode(self._loop.obs)
        self._steps_since_restart = 0

    def get_observations(self) -> TensorDict:
        """Return what the learner sees: observation groups and the steering's features."""
        return self._observe(self._current_plan())

    def _current_plan(self) -> Plan:
        if self._plan is None:
            self.restart(self._seed)
        assert self._plan is not None
        return self._plan

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict]:
        """Plan a chunk and execute it.

        Args:
            actions: The learner's output u, shape (num_envs, num_actions).

        Returns:
            Observations, rewards (num_envs,), dones (num_envs,), and extras with ``time_outs`` (num_envs,), by which
            the learner bootstraps, ``executed`` (num_envs, num_actions), the outputs that were executed, and ``log``.
            Where the environment tells final observations, they hold ``final_observations`` as well: what the learner
            would have seen of the worlds that ran out of time, had they not been reset.
        """
        before = self._current_plan()
        with self.planning_time.running():
            actions = self.steering.explored(actions, self.env_steps)
            chunk = self.steering.act(before, actions)
        self.env_steps += self.total_envs * self.execute_steps

        loop = self._loop
        loop.resume()
        rewards = torch.zeros(self.num_envs, device=self.device)
        time_outs = torch.zeros_like(loop.running)
        final: _FinalObservations | None = None
        with self.simulation_time.running():
            for k, step, ended in loop.execute(chunk[:, : self.execute_steps]):
                usable = is_usable(step.reward)
                rewards += self.step_discount**k * torch.where(usable & loop.running, step.reward, 0.0)
                self._count(step, ended, usable)
                ran_out = ended & ~step.terminated
                time_outs |= ran_out
                last = step.final_observations if self._keeps_final_observations else None
                if last is not None:
                    final = final or _FinalObservations()
                    final.add(last, ran_out)
        ended = ~loop.running
        self.steering.policy.begin_episodes(ended)
        self._counts[4] += count_unusable(loop.obs)
        if torch.device(self.device).type == "cpu":
            self._require_usable(*self._counts[3:].tolist())  # at once, as it does not wait for anything
        self._plan = self.steering.policy.encode(loop.obs)

        extras = {"time_outs": time_outs, "executed": actions, "log": self.steering.metrics(actions)}
        if self._keeps_final_observations:
            extras["final_observations"] = self._final_observations(before, final)
        return self._observe(self._plan), rewards, ended.long(), extras

    def pop_counts(self) -> tuple[int, int, int]:
        """Return episodes, successes among them, and diverged worlds since the last call, of all processes.

        Raises:
            ZprlError: If an observation after a chunk, which no reset had repaired, or a reward of a world that did not
                diverge was no number or larger than :data:`LARGEST`.
        """
        counts = processes.gather(self._counts.tolist())
        episodes, successes, diverged, rewards, observed = (sum(column) for column in zip(*counts, strict=True))
        self._counts.zero_()
        self._require_usable(rewards, observed)
        return episodes, successes, diverged

    def _require_usable(self, rewards: int, observed: int) -> None:
        """Refuse to learn from an environment that returned so many unusable rewards and observed values."""
        if observed or rewards:
            raise ZprlError(
                f"the environment returned {observed} observed values and {rewards} rewards that are NaN, infinite or "
                f"beyond {LARGEST:g}, although worlds that diverge are reset; check the observation terms, the rewards "
                f"and the reset events of task {self.env.spec.task}."
            )

    def _observe(self, plan: Plan) -> TensorDict:
        with self.planning_time.running():
            return self.steering.observe(plan, self.groups)

    def _final_observations(self, before: Plan, final: _FinalObservations | None) -> TensorDict:
        """Return what the learner would have seen of the worlds that ran out of time; of the others it does not matter.

        Only those worlds are encoded. On a GPU all are: to ask which would make the host wait, which takes longer.
        """
        seen = self._observe(before)
        rows, obs = (None, {}) if final is None else final.collected()
        if rows is not None:
            last = self._observe(self.steering.policy.encode(obs))
            merged = {str(name): seen[name].index_copy(0, rows, last[name]) for name in seen.keys()}  # noqa: SIM118
            seen = TensorDict(merged, batch_size=seen.batch_size)
        return seen

    def _count(self, step: Step, ended: Tensor, usable: Tensor) -> None:
        self._steps_since_restart += 1
        # Just after a restart only short episodes end, which are the successful ones, and some have begun with used-up
        # time; both would bias the success rate.
        episodes = ended if self._steps_since_restart > self.max_episode_length else torch.zeros_like(ended)
        # A diverged world's reward is no reward.
        unusable = self._loop.running & ~(usable | step.diverged)
        worlds = torch.stack([episodes, step.success & episodes, step.diverged & ended, unusable])
        self._counts[:4] += worlds.sum(dim=1)


class _FinalObservations:
    """What worlds observed last, in a chunk in which some of them ran out of time."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []
        self._parts: list[Observations] = []

    def add(self, obs: Observations, ran_out: Tensor) -> None:
        """Add a step's final observations, of the worlds that ran out of time in it (N,), bool.

        On a GPU, which the host is not to wait for, they are those of all worlds.
        """
        if ran_out.device.type == "cuda":
            new = own(obs)
            if self._parts:
                before = self._parts[0]
                shaped = {name: ran_out.view(-1, *[1] * (value.ndim - 1)) for name, value in new.items()}
                new = {name: torch.where(shaped[name], value, before[name]) for name, value in new.items()}
            self._rows, self._parts = [torch.arange(len(ran_out), device=ran_out.device)], [new]
        elif len(rows := ran_out.nonzero().squeeze(1)):
            self._rows.append(rows)
            self._parts.append(rows_of(obs, rows))

    def collected(self) -> tuple[Tensor | None, Observations]:
        """Return the worlds' indices (n,), or None if there are none, and their observations."""
        if not self._rows:
            return None, {}
        return torch.cat(self._rows), {name: torch.cat([part[name] for part in self._parts]) for name in self._parts[0]}
