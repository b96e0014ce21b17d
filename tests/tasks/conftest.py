# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The lift environment, shared by the tests of a module: making it takes several seconds."""

import pytest
import torch

TASK = "Zprl-Lift-Franka"


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
