# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The logger's statistics of episodes, against those of the logger that it replaces."""

import torch
from rsl_rl.utils.logger import Logger

from zprl.rl.logger import EnvStepWriter, SteeringLogger

STEPS, WORLDS = 24, 6
CFG = {"num_steps_per_env": STEPS, "algorithm": {}}


class Writer:
    """Takes scalars and forgets them."""

    def __init__(self):
        self.scalars = {}

    def add_scalar(self, tag, value, step):
        self.scalars.setdefault(tag, []).append(float(value))


ARGUMENTS = {
    "log_dir": None, "cfg": CFG, "env_cfg": {}, "num_envs": WORLDS, "is_distributed": False, "gpu_world_size": 1,
    "gpu_global_rank": 0, "device": "cpu",
}  # fmt: skip


def written(logger):
    """Return a logger with a writer, and the scalars that it writes."""
    writer = Writer()
    logger.writer = writer  # pyright: ignore[reportAttributeAccessIssue]
    return logger, writer.scalars


def test_episodes_are_those_of_rsl_rl_in_the_same_order():
    theirs, their_scalars = written(Logger(**ARGUMENTS))
    ours, our_scalars = written(SteeringLogger(env_steps_per_iteration=1, **ARGUMENTS))
    ours.pop_counts = lambda: (0, 0, 0)
    numbers = {"start_it": 0, "total_it": 3, "collect_time": 1.0, "learn_time": 1.0, "loss_dict": {"value": 1.0}}
    numbers |= {"learning_rate": 1e-3, "action_std": torch.ones(2), "rnd_weight": None}
    generator = torch.Generator().manual_seed(0)
    for iteration in range(3):
        for _ in range(STEPS):
            rewards = torch.randn(WORLDS, generator=generator)
            dones = (torch.rand(WORLDS, generator=generator) < 0.1).long()
            for logger in (theirs, ours):
                logger.process_env_step(rewards, dones, {"log": {"Steering/x": rewards.mean()}})
        for logger in (theirs, ours):
            logger.log(iteration, **numbers)
        assert len(theirs.rewbuffer) > 5 * (iteration + 1)
        assert list(ours.rewbuffer) == list(theirs.rewbuffer)
        assert list(ours.lenbuffer) == list(theirs.lenbuffer)
        assert torch.equal(ours.cur_reward_sum, theirs.cur_reward_sum)
    for tag in ("Train/mean_reward", "Train/mean_episode_length", "Steering/x"):
        assert our_scalars[tag] == their_scalars[tag]


def test_tensorboard_shows_every_step_once_after_a_run_goes_on(tmp_path):
    """A process is killed two iterations after its checkpoint, at 200 environment steps, and another goes on there."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for value, env_steps, iterations in ((1.0, 0, range(4)), (2.0, 200, range(2, 6))):
        writer = EnvStepWriter(str(tmp_path), env_steps_per_iteration=100, execute_steps=4, env_steps=env_steps)
        for iteration in iterations:
            writer.add_scalar("Loss/value", value, iteration)
        writer.flush()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("Loss/value")]
    assert shown == [(100, 1.0), (200, 1.0), (300, 2.0), (400, 2.0), (500, 2.0), (600, 2.0)]
