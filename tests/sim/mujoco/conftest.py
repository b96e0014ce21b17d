# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Environments of the lift task on either of MuJoCo's engines."""

import contextlib

import pytest
import torch

TASK = "Zprl-Lift-Franka"


@contextlib.contextmanager
def lift_environment(physics="mujoco", num_envs=4, overrides=(), configure=None):
    """Make a noiseless environment on the CPU."""
    from zprl.sim.isaaclab import close_env, configure_runtime, launched, make_env, quiet_simulator, resolve_task
    from zprl.sim.isaaclab.mujoco import choose_engine

    configure_runtime("cpu")
    noiseless = "env.observations.policy.enable_corruption=False"
    with quiet_simulator():
        env_cfg, _ = resolve_task(TASK, None, [f"physics={physics}", noiseless, *overrides])
        env_cfg.seed, env_cfg.scene.num_envs = 0, num_envs
        choose_engine(env_cfg, "cpu")
        if configure is not None:
            configure(env_cfg)
        with launched(env_cfg, "cpu"):
            env = make_env(TASK, env_cfg)
            try:
                yield env
            finally:
                close_env(env)


@pytest.fixture(scope="module")
def lift_env():
    """Give 16 worlds on two threads of MuJoCo's CPU engine."""
    with lift_environment(num_envs=16, overrides=["env.sim.physics.solver_cfg.threads=2"]) as env:
        yield env


def smooth_actions(num_envs, steps, seed=0):
    """Return random actions that wander, shape (steps, num_envs, 7)."""
    generator = torch.Generator().manual_seed(seed)
    actions = [torch.zeros(num_envs, 7)]
    for _ in range(steps):
        actions.append(0.7 * actions[-1] + 0.3 * (2 * torch.rand(num_envs, 7, generator=generator) - 1))
    return torch.stack(actions[1:])


def solver_of(env):
    """Return the environment's solver."""
    return env.sim.physics_manager._solver


def state_of(env):
    """Return joint positions, joint velocities, cube pose and cube velocity, shape (num_envs, 31)."""
    robot, cube = env.scene["robot"].data, env.scene["object"].data
    return torch.cat(
        [robot.joint_pos.torch, robot.joint_vel.torch, cube.root_pose_w.torch, cube.root_vel_w.torch], dim=1
    ).clone()


def roll_out(env, actions):
    """Step with each action; return the states, shape (steps, num_envs, 31)."""
    with torch.inference_mode():
        states = torch.stack([(env.step(action), state_of(env))[1] for action in actions])
    return states.clone()
