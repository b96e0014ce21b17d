# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The lift environment, shared by the tests of a module: making it takes several seconds."""

import contextlib

import pytest
import torch

TASK = "Zprl-Lift-Franka"
VISUAL_TASK = "Zprl-Lift-Franka-Visual"


@pytest.fixture(scope="module")
def lift_env():
    """Give 64 noiseless worlds on the CPU."""
    from zprl.sim.isaaclab import configure_runtime, launched, make_env, quiet_simulator, resolve_task

    configure_runtime("cpu")
    overrides = ["env.scene.num_envs=64", "env.observations.policy.enable_corruption=False"]
    with quiet_simulator():
        env_cfg, _ = resolve_task(TASK, None, overrides)
        env_cfg.seed = 0
        with launched(env_cfg, "cpu"):
            env = make_env(TASK, env_cfg)
            yield env
            env.close()


@pytest.fixture
def fresh_env(lift_env):
    """Give the environment, reset with seed 0; one step later its episode counters have started."""
    lift_env.reset(seed=0)
    return lift_env


def idle(env):
    """Return the action that stays in place with an open gripper, shape (num_envs, 7)."""
    action = torch.zeros(env.num_envs, env.action_manager.total_action_dim)
    action[:, -1] = 1.0
    return action


@contextlib.contextmanager
def visual(*overrides, num_envs=2, configure=None, task=VISUAL_TASK):
    """Make worlds of a task with cameras."""
    from zprl.runs.session import TaskSession

    session = TaskSession(task, "cpu", overrides, num_envs=num_envs)
    with session.launched(), session.isaaclab_environment(configure=configure) as env:
        yield env


def random_actions(env, steps, seed=0):
    """Return actions within the limits, shape (num_envs, steps, A)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([env.spec.random_actions(env.num_envs, generator) for _ in range(steps)], dim=1)


def share_that_succeeds(env, task):
    """Return the share of the worlds whose first episode, from seed 0, a task's noiseless expert brings to success."""
    from zprl.tasks.experts import make_expert

    env.reset(seed=0)
    expert = make_expert(task, env)
    ended, succeeded = torch.zeros(2, env.num_envs, dtype=torch.bool)
    for _ in range(env.max_episode_length):
        _, _, terminated, truncated, _ = env.step(expert.act())
        done = terminated | truncated
        succeeded |= env.termination_manager.get_term("success") & ~ended
        assert not env.termination_manager.get_term("non_finite_state").any()
        ended |= done
        expert.reset(done.nonzero()[:, 0])
        if ended.all():
            break
    return succeeded.float().mean()
