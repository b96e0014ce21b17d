# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Windows of the last observations: filled at an episode's beginning, and never across its end."""

import dataclasses

import pytest
import torch
from tests.fakes import NOTHING, ScriptedEnv, make_spec, world

from zprl.envs.windows import WindowedEnv, with_windows
from zprl.policies.base import window_group
from zprl.spec import Group

TERMS = Group.vector("policy", [("a", 2), ("b", 1)])


def make(*script, steps=3, final=False, image=None):
    """Return a windowed environment whose states are all a counter."""
    spec = make_spec(obs_dim=3, image=image)
    spec = dataclasses.replace(spec, groups=(TERMS, *spec.groups[1:]))
    needed = dataclasses.replace(spec, groups=(window_group(TERMS, steps),))
    env = ScriptedEnv(*script, spec=spec, final=final)
    return env, with_windows(env, needed)


def window(*counts):
    """Return a window of a world whose counter was so, feature by feature and oldest first."""
    return [value for count in counts for value in (count, count)] + list(counts)


def test_it_holds_the_last_observations_oldest_first_and_feature_by_feature():
    _, windowed = make()
    obs = windowed.reset_to([7, 40])
    assert obs["policy_window"].tolist() == [window(7, 7, 7), window(40, 40, 40)]
    action = torch.zeros(2, 2)
    assert windowed.step(action).observations["policy_window"].tolist() == [window(7, 7, 8), window(40, 40, 41)]
    assert windowed.step(action).observations["policy_window"].tolist() == [window(7, 8, 9), window(40, 41, 42)]
    obs = windowed.step(action).observations
    assert obs["policy_window"].tolist() == [window(8, 9, 10), window(41, 42, 43)]
    assert obs["policy"].tolist() == [[10.0] * 3, [43.0] * 3]


@pytest.mark.parametrize("end", [world(success=True), world(time_out=True), world(diverged=True)])
def test_an_episode_that_ends_leaves_nothing_in_the_next_ones_window_nor_in_another_worlds(end):
    _, windowed = make(NOTHING, [end, world()])
    windowed.reset_to([7, 40])
    action = torch.zeros(2, 2)
    windowed.step(action)
    assert windowed.step(action).observations["policy_window"].tolist() == [window(9, 9, 9), window(40, 41, 42)]


def test_final_observations_have_the_window_of_the_episode_that_ended():
    _, windowed = make(NOTHING, [world(time_out=True), world()], final=True)
    windowed.reset_to([7, 40])
    action = torch.zeros(2, 2)
    assert windowed.step(action).final_observations is None
    final = windowed.step(action).final_observations
    assert final is not None
    assert final["policy_window"][0].tolist() == window(7, 8, 8.75)
    assert final["policy"][0].tolist() == [8.75] * 3


def test_it_keeps_no_buffer_of_the_environment():
    env, windowed = make()
    held = windowed.reset_to([7, 40])["policy_window"]
    env.observation[:] = -1.0
    assert held.tolist() == [window(7, 7, 7), window(40, 40, 40)]


def test_everything_else_is_the_environments_own():
    env, windowed = make()
    assert isinstance(windowed, WindowedEnv)
    assert (windowed.num_envs, windowed.staggers, windowed.received) == (2, True, env.received)
    windowed.elapsed = torch.tensor([3, 4])
    assert env.elapsed.tolist() == [3, 4]
    assert [group.name for group in windowed.spec.groups] == ["policy", "policy_window"]
    assert windowed.spec.group("policy_window").shape == (9,)
    assert windowed.spec.find("a") == ("policy", slice(0, 2))


def test_where_nothing_is_missing_the_environment_stays_itself():
    env, _ = make()
    assert with_windows(env, env.spec) is env
