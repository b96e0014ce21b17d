# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A training in toy worlds, run as a program by test_processes.py: alone, or as one of several processes.

Whatever a world shows is a table's entry for the world and the step, so that the worlds of all processes together are
those of one process. ``python toy_training.py FOLDER`` writes what it saw to ``FOLDER/RANK.pt``.
"""

import sys
from pathlib import Path

import torch
from tensordict import TensorDict

from zprl.envs.chunked_env import ChunkedVecEnv
from zprl.rl.runner import SteeringRunner
from zprl.utils import processes

WORLDS, STEPS, OBS, ACTIONS = 8, 6, 3, 2
EXECUTE_STEPS = 4

generator = torch.Generator().manual_seed(0)
OBSERVATIONS = 3.0 + 2.0 * torch.randn(STEPS + 1, WORLDS, OBS, generator=generator)
OUTPUTS = torch.randn(STEPS, WORLDS, ACTIONS, generator=generator)
# The second half of the worlds pays much more, so that a normalisation in halves would be another one.
REWARDS = torch.randn(STEPS, WORLDS, generator=generator) + 10.0 * (torch.arange(WORLDS) >= WORLDS // 2)
DONES = (torch.rand(STEPS, WORLDS, generator=generator) < 0.3).long()

CFG = {
    "num_steps_per_env": STEPS,
    "save_interval": 100,
    "init_at_random_ep_len": True,
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
    "algorithm": {
        "class_name": "zprl.rl.ppo:PPO",
        "num_learning_epochs": 1,
        "num_mini_batches": 1,
        "learning_rate": 1e-3,
        "schedule": "fixed",
        "backend": "torch",  # as several processes have it in any case; its gradients can be looked at
        "gamma": 0.9,
        "rnd_cfg": None,
    },
    "actor": {
        "class_name": "MLPModel",
        "hidden_dims": [16],
        "obs_normalization": True,
        "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5},
    },
    "critic": {"class_name": "MLPModel", "hidden_dims": [16], "obs_normalization": True},
}


class ToyEnv:
    """This process's share of the worlds."""

    max_episode_length = 20
    num_actions = ACTIONS
    execute_steps = EXECUTE_STEPS
    device = "cpu"
    cfg = {}

    def __init__(self):
        self.worlds = list(processes.share_of(range(WORLDS)))
        self.num_envs, self.total_envs = len(self.worlds), WORLDS
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.time, self.env_steps = 0, 0
        self.seeds = []

    def restart(self, seed):
        torch.manual_seed(seed)
        self.seeds.append(seed)
        self.time = 0

    def get_observations(self):
        return TensorDict({"policy": OBSERVATIONS[self.time % STEPS, self.worlds]}, batch_size=[self.num_envs])

    def step(self, actions):
        row = self.time % STEPS
        self.time += 1
        extras = {"log": {"Steering/world": torch.tensor(self.worlds, dtype=torch.float).mean()}}
        return self.get_observations(), REWARDS[row, self.worlds], DONES[row, self.worlds], extras

    def pop_counts(self):
        return 0, 0, 0


class Writer:
    """Keeps scalars."""

    def __init__(self):
        self.scalars = {}

    def add_scalar(self, tag, value, step):
        self.scalars.setdefault(tag, []).append(float(value))


def learn_from_table(alg, worlds):
    """Take one gradient step on the table's outputs, whatever the policy would have sampled."""
    alg.train_mode()
    for step in range(STEPS):
        obs = TensorDict({"policy": OBSERVATIONS[step, worlds]}, batch_size=[len(worlds)])
        alg.act(obs)
        alg.transition.actions = OUTPUTS[step, worlds]
        alg.transition.actions_log_prob = alg.actor.get_output_log_prob(OUTPUTS[step, worlds]).detach()
        alg.process_env_step(obs, REWARDS[step, worlds], DONES[step, worlds], {})
    alg.compute_returns(TensorDict({"policy": OBSERVATIONS[STEPS, worlds]}, batch_size=[len(worlds)]))
    advantages = alg.storage.advantages.clone()
    alg.update()
    models = {"actor": alg.actor, "critic": alg.critic}
    gradients = {f"{m}.{n}": p.grad.clone() for m, model in models.items() for n, p in model.named_parameters()}
    return {"advantages": advantages.squeeze(-1), "gradients": gradients, "state": state_of(alg)}


def state_of(alg):
    """Return parameters and statistics."""
    models = {"actor": alg.actor, "critic": alg.critic}
    return {f"{m}.{n}": t.clone() for m, model in models.items() for n, t in model.state_dict().items()}


def counts_of_chunked_env():
    """Return the sums over processes of counts that are 1, 2, 3 times the process's number from 1."""
    env = ChunkedVecEnv.__new__(ChunkedVecEnv)
    number = processes.rank() + 1
    env._counts = torch.tensor([number, 2 * number, 3 * number, 0, 0])
    return env.pop_counts()


def main(folder):
    with processes.only_first_process_prints(), processes.joined("cpu"):
        env = ToyEnv()
        runner = SteeringRunner(env, CFG, folder, "cpu", seed=5)  # pyright: ignore[reportArgumentType]
        if runner.is_distributed:
            runner.alg.broadcast_parameters()
        result = learn_from_table(runner.alg, env.worlds)
        writer = Writer()
        if processes.is_first():
            runner.logger.writer = writer  # pyright: ignore[reportAttributeAccessIssue]
        runner.logger.init_logging_writer = lambda: None
        runner.logger.stop_logging_writer = lambda: None
        rates = []
        runner.logger.on_iteration = lambda *args: rates.append(args)
        runner.learn_segment(3)
        result |= {
            "learned": state_of(runner.alg),
            "worlds": env.worlds,
            "seeds": env.seeds,
            "scalars": writer.scalars,
            "rewards": list(runner.logger.rewbuffer),
            "lengths": list(runner.logger.lenbuffer),
            "tot_timesteps": runner.logger.tot_timesteps,
            "env_steps": runner.env_steps,
            "random": torch.rand(4),
            "counts": counts_of_chunked_env(),
            "order": processes.gather(processes.rank()),
        }
        path = Path(folder) / "made_by_the_first"
        result["made"] = processes.first_then_others(
            lambda: path.read_text() if path.exists() else str(path.write_text(f"{processes.rank()}"))
        )
        result["class"] = type(runner.alg).__name__
        torch.save(result, Path(folder) / f"{processes.rank()}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
