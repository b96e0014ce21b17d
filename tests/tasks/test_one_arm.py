# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The tasks with one arm and a scripted expert: it succeeds, and nothing else does."""

import pytest
import torch

from .conftest import share_that_succeeds

pytestmark = pytest.mark.sim

WORLDS = 32


TASKS = ["Can", "Square", "PushWall", "BoxClose", "PlaceOrange"]


@pytest.fixture(params=[f"Zprl-{name}-Franka" for name in TASKS], ids=TASKS, scope="module")
def env(request):
    """Give noiseless worlds of a task on the CPU."""
    from zprl.sim.isaaclab import configure_runtime, launched, make_env, quiet_simulator, resolve_task

    configure_runtime("cpu")
    overrides = [f"env.scene.num_envs={WORLDS}", "env.observations.policy.enable_corruption=False"]
    with quiet_simulator():
        env_cfg, _ = resolve_task(request.param, None, overrides)
        env_cfg.seed = 0
        with launched(env_cfg, "cpu"):
            env = make_env(request.param, env_cfg)
            env.task = request.param  # type: ignore[attr-defined]
            yield env
            env.close()


def test_the_expert_succeeds(env):
    # The least of them succeeds in 193 of 200; of 32, fewer than 26 would be one chance in ten thousand.
    assert share_that_succeeds(env, env.task) >= 0.8


def test_nobody_succeeds_by_doing_nothing(env):
    env.reset(seed=1)
    idle = torch.tensor([number for part in env.cfg.idle_action.values() for number in part]).repeat(WORLDS, 1)
    start = env.scene["object"].data.root_pos_w.torch.clone()
    for _ in range(20):
        env.step(idle)
        assert not env.termination_manager.get_term("success").any()
    # What nobody touches stays where it is: it neither sinks in nor creeps away.
    assert (env.scene["object"].data.root_pos_w.torch - start).norm(dim=1).max() < 2e-3


def test_things_are_where_the_task_puts_them(env):
    """A box keeps away from its lid, an orange lies in its dish, and what is placed is not where it was before."""
    env.reset(seed=2)
    places = {name: asset.data.root_pos_w.torch.clone() for name, asset in env.scene.rigid_objects.items()}
    env.reset(seed=3)
    for name, place in places.items():
        assert (env.scene[name].data.root_pos_w.torch - place).norm(dim=1).max() > 5e-3
    if "box" in places:
        assert (places["box"] - places["object"])[:, :2].norm(dim=1).min() >= 0.25
    if "dish" in places:
        assert (places["dish"] - places["object"])[:, :2].norm(dim=1).max() < 1e-6


def test_an_object_that_falls_off_the_table_ends_its_episode_alone(env):
    env.reset(seed=4)
    pose = env.scene["object"].data.root_pose_w.torch.clone()
    pose[5, :3] = torch.tensor([1.5, 0.0, -0.19])  # beside the table, falling
    env.scene["object"].write_root_pose_to_sim_index(root_pose=pose)
    idle = torch.tensor([number for part in env.cfg.idle_action.values() for number in part]).repeat(WORLDS, 1)
    ended = torch.zeros(WORLDS, dtype=torch.long)
    for _ in range(3):
        _, _, terminated, truncated, _ = env.step(idle)
        assert not env.termination_manager.get_term("success").any() and not truncated.any()
        ended += terminated
    assert ended.nonzero().flatten().tolist() == [5] and ended[5] == 1
