# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Time of the learners' gradient steps with default settings, native against autograd."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from zprl.profiling.timing import Timing, take_turns, timed_on_host
from zprl.rl.actor import model_arguments
from zprl.rl.critic import EnsembleCritic
from zprl.rl.methods import ALGORITHMS, DEFAULT_METHOD, configure
from zprl.rl.ppo import PPO
from zprl.rl.replay import ReplayBuffer
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.rl.sac import SAC
from zprl.steering import CriticAction
from zprl.utils.configclass import class_to_dict


class _Worlds:
    """Worlds of random observations and rewards, for a learner of a run's settings."""

    def __init__(self, algorithm: str, num_envs: int, obs_dim: int, latent_dim: int) -> None:
        cfg = ZprlRunnerCfg()
        configure(cfg, DEFAULT_METHOD, algorithm)
        self.num_envs, self.widths = num_envs, {"policy": obs_dim, "latent": latent_dim}
        self.groups = cfg.obs_groups
        self.num_steps = cfg.num_steps_per_env
        self.settings: dict[str, Any] = class_to_dict(cfg)

    def observe(self) -> TensorDict:
        seen = {name: torch.randn(self.num_envs, width) for name, width in self.widths.items()}
        return TensorDict(seen, batch_size=[self.num_envs])

    def arguments(self, part: str) -> dict[str, Any]:
        return {name: value for name, value in model_arguments(self.settings[part]).items() if name != "class_name"}

    def step(self, learner: PPO | SAC, obs: TensorDict) -> TensorDict:
        learner.act(obs)
        following = self.observe()
        dones = (torch.rand(self.num_envs) < 0.05).long()
        learner.process_env_step(following, torch.rand(self.num_envs), dones, {})
        return following


def _make_ppo(worlds: _Worlds, backend: str) -> PPO:
    obs, num_actions = worlds.observe(), worlds.widths["latent"]
    actor = MLPModel(obs, worlds.groups, "actor", num_actions, **worlds.arguments("actor"))
    critic = MLPModel(obs, worlds.groups, "critic", 1, **worlds.arguments("critic"))
    storage = RolloutStorage("rl", worlds.num_envs, worlds.num_steps, obs, [num_actions], "cpu")
    ppo = PPO(actor, critic, storage, **{**worlds.arguments("algorithm"), "backend": backend})
    with torch.inference_mode():
        for _ in range(worlds.num_steps):
            obs = worlds.step(ppo, obs)
        ppo.compute_returns(obs)
    return ppo


def _make_sac(worlds: _Worlds, backend: str) -> SAC:
    obs, num_actions = worlds.observe(), worlds.widths["latent"]
    actor = MLPModel(obs, worlds.groups, "actor", num_actions, **worlds.arguments("actor"))
    critic = EnsembleCritic(obs, worlds.groups, "critic", num_actions, **worlds.arguments("critic"))
    settings = {**worlds.arguments("algorithm"), "backend": backend}
    replay = ReplayBuffer(settings["warmup_transitions"] + worlds.num_envs, worlds.num_envs, obs, num_actions, "cpu")
    sac = SAC(actor, critic, replay, CriticAction("latent", 0.8), worlds.num_steps, **settings)
    with torch.inference_mode():
        while sac.warming_up:
            obs = worlds.step(sac, obs)
    return sac


def _num_steps(learner: PPO | SAC) -> int:
    if isinstance(learner, PPO):
        return learner.num_learning_epochs * learner.num_mini_batches
    return learner.cfg.updates_per_step * learner.num_steps


def _timed_on_cpus(call: Callable[[], object]) -> tuple[float, float]:
    """Return a call's start and its duration on all cores together, by the clock of the process's CPU time [s]."""
    start = time.process_time()
    call()
    return start, time.process_time() - start


def learner_table(num_envs: int, obs_dim: int, latent_dim: int, budget: float) -> str:
    """Time the updates of each learner, native and by autograd, in turns; return a table.

    Autograd runs on one thread, as in training, where more make such small networks slower; the native operators on all
    cores.

    Args:
        num_envs: Number of parallel worlds.
        obs_dim: Numbers that the learner sees beside the latent.
        latent_dim: Numbers of the latent and of an output.
        budget: Time of each learner [s].

    Raises:
        ZprlError: If the native operators are not installed.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [f"{'learner':8} {'gradient steps':18} {'steps/s':>8} {'ms/step':>8} {'CPU ms/step':>12}"]
    for algorithm in ALGORITHMS:
        worlds = _Worlds(algorithm, num_envs, obs_dim, latent_dim)
        make = _make_sac if algorithm == "sac" else _make_ppo
        learners = {backend: make(worlds, backend) for backend in ("native", "torch")}
        calls = {name: learner.update for name, learner in learners.items()}
        clocks = [take_turns(calls, budget / 2, timed) for timed in (timed_on_host, _timed_on_cpus)]
        rows = {}
        for name, learner in learners.items():
            rows[name] = [Timing.of(samples[name].seconds).median / _num_steps(learner) for samples in clocks]
            wall, cpu = rows[name]
            where = "native, all cores" if name == "native" else "torch, one core"
            lines.append(f"{algorithm:8} {where:18} {1 / wall:8.0f} {1e3 * wall:8.2f} {1e3 * cpu:12.2f}")
        faster = [theirs / ours for theirs, ours in zip(rows["torch"], rows["native"], strict=True)]
        lines.append(
            f"{algorithm:8} native is {faster[0]:.1f} times as fast, and takes 1/{faster[1]:.1f} of the CPU time"
        )
    return "\n".join(lines)
