# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The pen task: its expert turns the pen, nothing else does, and success is what it says."""

from types import SimpleNamespace

import pytest
import torch

from .conftest import share_that_succeeds

pytestmark = pytest.mark.sim

TASK, WORLDS = "Zprl-Pen-Adroit", 32
HOLD = 20
"""Control steps of 0.02 s that the pen has to be held for."""


@pytest.fixture(scope="module")
def env():
    """Give noiseless worlds on the CPU."""
    from zprl.runs.session import TaskSession

    session = TaskSession(TASK, "cpu", ["env.observations.policy.enable_corruption=False"], WORLDS, seed=0)
    with session.launched(), session.isaaclab_environment() as env:
        yield env.unwrapped


def idle(env):
    return torch.tensor(env.cfg.idle_action["hand_action"]).repeat(WORLDS, 1)


def test_the_expert_succeeds(env):
    # Of 200 it succeeds in 186; of 32, fewer than 18 would be one chance in a thousand.
    assert share_that_succeeds(env, TASK) >= 0.55


def test_nobody_succeeds_by_doing_nothing_where_the_pen_has_to_turn(env):
    from zprl.tasks import mdp
    from zprl.tasks.pen.pen_env_cfg import PLACE

    env.reset(seed=1)
    # It begins along x, and its target within 57 degrees of the vertical about either axis.
    _, cosine = mdp.axis_errors(env, PLACE, SimpleNamespace(name="target"))  # type: ignore[arg-type]
    assert cosine.max() < 0.95
    for _ in range(60):
        env.step(idle(env))
        assert not env.termination_manager.get_term("success").any()
        assert not env.termination_manager.get_term("object_dropping").any()


def test_success_is_a_pen_that_has_pointed_there_for_as_long_as_it_takes(env):
    """In four worlds the pen is put where it should be; in one it is 8 cm away, in one it points 20 degrees aside."""
    env.reset(seed=2)
    target = env.scene["target"].data.root_quat_w.torch
    pose = env.scene["object"].data.root_pose_w.torch.clone()
    aside = torch.tensor([0.17365, 0.0, 0.0, 0.98481])  # 20 degrees about the pen's x axis
    barely = torch.tensor([0.13917, 0.0, 0.0, 0.99027])  # 16 degrees
    from isaaclab.utils.math import quat_mul

    def put(interrupted):
        right = pose.clone()
        right[:4, 3:] = target[:4]
        right[4, :3] += torch.tensor([0.0, 0.0, 0.08])
        right[4, 3:] = target[4]
        right[5, 3:] = quat_mul(target[5:6], aside[None])[0]
        right[6, 3:] = quat_mul(target[6:7], barely[None])[0]
        if interrupted:
            right[3] = pose[3]
        env.scene["object"].write_root_pose_to_sim_index(root_pose=right)
        env.scene["object"].write_root_velocity_to_sim_index(root_velocity=torch.zeros(WORLDS, 6))

    for step in range(1, HOLD + 1):
        put(interrupted=step == 10)
        _, reward, terminated, _, _ = env.step(idle(env))
        succeeded = env.termination_manager.get_term("success")
        expected = [0, 1, 2, 6] if step == HOLD else []
        assert succeeded.nonzero().flatten().tolist() == expected, step
        assert reward[succeeded].tolist() == pytest.approx([1.0] * len(expected)) and not reward[~succeeded].any()
    assert terminated.nonzero().flatten().tolist() == [0, 1, 2, 6]
    # Those four have begun anew, and so has their time.
    assert env.episode_length_buf[0] == 0 and env.episode_length_buf[3] == HOLD


def test_a_dropped_pen_ends_its_episode_alone(env):
    env.reset(seed=3)
    pose = env.scene["object"].data.root_pose_w.torch.clone()
    pose[5, :3] = torch.tensor([0.3, 0.3, 0.08])  # beside the hand, falling
    env.scene["object"].write_root_pose_to_sim_index(root_pose=pose)
    ended = torch.zeros(WORLDS, dtype=torch.long)
    for _ in range(5):
        _, reward, terminated, truncated, _ = env.step(idle(env))
        assert not reward.any() and not truncated.any()
        ended += terminated
    assert ended.nonzero().flatten().tolist() == [5] and ended[5] == 1


def test_targets_are_drawn_as_the_benchmark_draws_them(env):
    """Rx(a) Ry(b) z = (sin b, -sin a cos b, cos a cos b), with a and b uniform in 1 rad either way."""
    from isaaclab.utils.math import quat_apply

    found = []
    for seed in range(40):
        env.reset(seed=seed)
        quat = env.scene["target"].data.root_quat_w.torch
        found.append(quat_apply(quat, torch.tensor([0.0, 0.0, 1.0]).expand(WORLDS, 3)))
    x, y, z = torch.cat(found).unbind(dim=1)
    b, a = x.asin(), torch.atan2(-y, z)
    for angle in (a, b):
        assert angle.abs().max() <= 1.0 + 1e-5
        assert angle.mean() == pytest.approx(0.0, abs=0.07) and angle.std() == pytest.approx(3**-0.5, abs=0.03)
    assert torch.corrcoef(torch.stack([a, b]))[0, 1].abs() < 0.12
    assert env.scene["target"].data.root_pos_w.torch[7].tolist() == pytest.approx([0.2, -0.2, 0.25])
