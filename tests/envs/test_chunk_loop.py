# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The one loop that executes chunks: who idles, what counts, and which observations are there when."""

import pytest
import torch
from tests.fakes import NOTHING, ScriptedEnv, make_spec, world

from zprl.envs import ChunkLoop

IDLE = [-0.5, -0.5]
CHUNK = torch.arange(1.0, 4.0)[None, :, None].expand(2, 3, 2)
"""Three actions of two worlds, two numbers each: 1, 2, 3."""


def make(*script, idles=True, count=None, **settings):
    env = ScriptedEnv(*script, spec=make_spec(idle=-0.5, **settings))
    loop = ChunkLoop(env, idles)
    loop.begin(env.reset(0), count)
    return env, loop


def execute(loop, chunk=CHUNK):
    """Execute a chunk; return its indices, and which worlds ended and ran at each step."""
    return [(k, ended.tolist(), loop.running.tolist()) for k, _, ended in loop.execute(chunk)]


def test_a_world_that_has_ended_idles_until_it_is_counted_again():
    env, loop = make(NOTHING, [world(success=True), world()])
    steps = execute(loop)
    assert [k for k, _, _ in steps] == [0, 1, 2]
    assert [ended for _, ended, _ in steps] == [[False, False], [True, False], [False, False]]
    # The step in which it ends is still the world's own.
    assert [running for _, _, running in steps] == [[True, True], [True, True], [False, True]]
    execute(loop)
    received = torch.stack(env.received)
    assert received[:, 0].tolist() == [[1.0, 1.0], [2.0, 2.0], IDLE, IDLE, IDLE, IDLE]
    assert received[:, 1, 0].tolist() == [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]
    loop.resume()
    assert loop.running.tolist() == [True, True]
    execute(loop)
    assert env.received[6][0].tolist() == [1.0, 1.0]


def test_without_idling_worlds_go_on_with_what_they_are_given():
    env, loop = make([world(time_out=True), world()], idles=False)
    execute(loop)
    assert [action[0, 0].item() for action in env.received] == [1.0, 2.0, 3.0]
    assert loop.running.tolist() == [False, True]


@pytest.mark.parametrize(
    ("end", "succeeded"),
    [(world(success=True), True), (world(time_out=True), False), (world(diverged=True), False)],
)
def test_only_an_episodes_own_end_decides_its_outcome(end, succeeded):
    _, loop = make([end, world()], [world(success=True), world(success=True)], [world(), world(time_out=True)])
    assert [ended for _, ended, _ in execute(loop)] == [[True, False], [False, True], [False, False]]
    assert loop.succeeded.tolist() == [succeeded, True]
    assert loop.running.tolist() == [False, False]


def test_worlds_beyond_the_count_neither_act_nor_end():
    env, loop = make([world(), world(success=True)], NOTHING, [world(success=True), world()], count=1)
    assert loop.running.tolist() == [True, False]
    assert [ended for _, ended, _ in execute(loop)] == [[False, False], [False, False], [True, False]]
    assert loop.succeeded.tolist() == [True, False]
    assert all(action[1].tolist() == IDLE for action in env.received)
    loop.begin(env.reset(0))
    assert loop.running.tolist() == [True, True]
    assert loop.succeeded.tolist() == [False, False]


def test_it_begins_anew_outside_of_a_rollouts_inference_mode():
    """Tensors that were made in one cannot be written outside of it."""
    env, loop = make([world(success=True), world()])
    with torch.inference_mode():
        execute(loop)
    loop.begin(env.reset(0), count=1)
    assert (loop.running.tolist(), loop.succeeded.tolist()) == ([True, False], [False, False])
    execute(loop)


def test_images_are_there_between_chunks_only():
    _, loop = make(image=(2, 2, 3))
    held = [sorted(loop.obs)]
    held += [sorted(loop.obs) for _ in loop.execute(CHUNK)]
    held.append(sorted(loop.obs))
    # Before the chunk and at its first step, after each but the last step, and after the chunk.
    assert held == [["camera", "policy"]] * 2 + [["policy"]] * 2 + [["camera", "policy"]]
    assert loop.obs["camera"].shape == (2, 2, 2, 3)
    assert loop.obs["camera"].dtype == torch.uint8
    assert (loop.obs["camera"] == 3).all()


def test_observations_are_what_the_action_was_taken_on_though_the_environment_reuses_its_buffers():
    env, loop = make(image=(1, 1, 1))
    start = env.observation.clone()
    first = loop.obs
    for k, step, _ in loop.execute(CHUNK):
        torch.testing.assert_close(loop.obs["policy"], start + k)
        torch.testing.assert_close(step.observations["policy"], start + k + 1)
        assert step.observations["policy"] is env.observation
    after = loop.obs
    execute(loop)
    torch.testing.assert_close(first["policy"], start, rtol=0, atol=0)
    torch.testing.assert_close(after["policy"], start + 3)
    assert (first["camera"] == 0).all()
    assert (after["camera"] == 3).all()
