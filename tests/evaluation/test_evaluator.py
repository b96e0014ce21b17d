# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What an evaluation makes of a scripted environment: waves, outcomes, lengths and trajectories."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.fakes import NOTHING, CountingPolicy, ScriptedEnv, make_base, make_spec, world

from zprl.envs.task_env import episode_seed
from zprl.evaluation.rollout import Evaluator, bottleneck_gap, run_all
from zprl.spec import Group
from zprl.steering import ChunkPolicy
from zprl.utils.errors import ZprlError

SEED = 3
FIRST = [[world(success=True), world()] if step == 1 else NOTHING for step in range(5)]
FIRST += [[world(success=True), world(time_out=True)]]
"""The first wave: a success with the second step, and a failure with the sixth."""
SECOND = [*[NOTHING] * 3, [world(success=True), world()], *[NOTHING] * 2]
"""The second wave: a success with the fourth step."""


def make(*script, **spec):
    group = Group.vector("policy", [("left", 4), ("right", 3)])
    env = ScriptedEnv(*script, spec=dataclasses.replace(make_spec(), groups=(group,), **spec))
    env.max_episode_length = 6
    return env, Evaluator(env, execute_steps=3)


def counting():
    policy = CountingPolicy()
    return ChunkPolicy(policy, policy.act)


def test_outcomes_lengths_and_trajectories_in_the_order_of_the_episodes():
    env, evaluator = make(*FIRST, *SECOND, tracked=("right", "left"), joints=("left",))
    progress = []
    results = evaluator.run(counting(), 3, SEED, on_progress=progress.append)
    assert (results.successes, results.steps, progress) == ([True, False, True], [2, 6, 4], [2, 3])
    seeds = [episode_seed(SEED, episode) for episode in range(3)]
    assert env.seeds == [seeds[:2], seeds[2:]]
    # Positions are those before each action, of both arms; the state counts from its seed.
    for seed, steps, positions in zip(seeds, results.steps, results.positions, strict=True):
        expected = (seed % 1000 + np.arange(steps))[:, None, None]
        np.testing.assert_array_equal(positions, np.broadcast_to(expected, (steps, 2, 3)))
        np.testing.assert_array_equal(results.joints[seeds.index(seed)], np.broadcast_to(expected[:, 0], (steps, 4)))
    summary = results.summary()
    assert (summary["rate"], summary["mean_steps"], summary["joint_jerk"]) == (pytest.approx(2 / 3), 3.0, 0.0)
    assert summary["velocity"] == pytest.approx(3**0.5 / 0.05)


def test_a_task_that_tracks_nothing_has_no_smoothness():
    _, evaluator = make(*FIRST)
    results = evaluator.run(counting(), 2, SEED)
    assert results.positions == []
    summary = results.summary()
    assert (summary["rate"], summary["velocity"], summary["jerk"], summary["joint_jerk"]) == (0.5, None, None, None)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 2e9])
def test_nothing_is_planned_on_what_is_no_number(value):
    class Breaking(CountingPolicy):
        """Breaks the second world with its first chunk."""

        def act(self, plan, **knobs):
            assert len(env.received) == 0
            env.observation[1] = value
            return super().act(plan, **knobs)

    env, evaluator = make(*FIRST)
    policy = Breaking()
    with pytest.raises(
        ZprlError, match=r"^task Fake-Task observed values that are NaN, .*: 7 of policy; no policy can"
    ):
        evaluator.run(ChunkPolicy(policy, policy.act), 2, SEED)


def test_a_wave_ends_with_its_last_episode():
    both = [[world(success=True), world(success=True)]]
    env, evaluator = make(*both)
    assert evaluator.run(counting(), 2, SEED).steps == [1, 1]
    assert len(env.received) == 3  # the rest of the chunk idles


def test_policies_one_after_another_meet_the_same_episodes(capsys):
    env, evaluator = make(*FIRST, *FIRST)
    outcomes = run_all(evaluator, {"base": counting(), "steered": counting()}, 2, SEED)
    assert list(outcomes) == ["base", "steered"]
    assert env.seeds[0] == env.seeds[1]
    assert outcomes["base"].successes == outcomes["steered"].successes == [True, False]


@pytest.mark.parametrize(("noise", "drawn"), [("zero", None), ("fixed", None), ("sampled", (8, 2))])
def test_the_gap_of_the_bottleneck_is_measured_on_the_same_episodes_and_noise(noise, drawn):
    base = make_base(obs_dim=7, action_dim=2, execute_steps=3, initial_noise=noise)
    assert base.noise_shape == drawn
    # Through its bottleneck the policy succeeds once, and without it twice.
    env, evaluator = make(*FIRST, *FIRST[:5], [world(), world(success=True)])
    gap = bottleneck_gap(evaluator, base, 2, SEED)
    assert (gap["bottleneck"]["rate"], gap["plain"]["rate"], gap["gap"]) == (0.5, 1.0, 0.5)
    assert gap["gap_low"] < 0.5 < gap["gap_high"]
    assert env.seeds[0] == env.seeds[1]
    # What acted is the policy through its bottleneck, and then without it, on the first observations of each.
    obs = torch.full((1, 7), float(env.seeds[0][0] % 1000))
    start = None if drawn is None else evaluator.noise(drawn, SEED, range(2))[:1, 0]
    torch.testing.assert_close(env.received[0][:1], base.policy.act(obs, None, start)[:, 0])
    torch.testing.assert_close(env.received[6][:1], base.policy.generate(base.policy.embed(obs), start)[:, 0])
    assert not torch.equal(env.received[6], env.received[0])
