# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import pytest
import torch

import isaaclab.envs.mdp
from isaaclab.managers import ObservationTermCfg

from zprl.sim.isaaclab import check_time
from zprl.sim.isaaclab.task_env import IsaacLabEnv
from zprl.utils.errors import ZprlError


@pytest.mark.parametrize("function", [isaaclab.envs.mdp.current_time_s, isaaclab.envs.mdp.remaining_time_s])
def test_time_in_observations_does_not_go_with_time_outs_as_interruptions(function):
    term = ObservationTermCfg(func=isaaclab.envs.mdp.joint_pos)
    manager = SimpleNamespace(active_terms={"policy": ["place"]}, _group_obs_term_cfgs={"policy": [term]})
    env = SimpleNamespace(observation_manager=manager, cfg=SimpleNamespace(is_finite_horizon=False))
    check_time(env)  # type: ignore[arg-type]
    term.func = function
    with pytest.raises(ZprlError, match=r"policy\.place tells the time, .* set env\.is_finite_horizon=True, so that"):
        check_time(env)  # type: ignore[arg-type]
    env.cfg.is_finite_horizon = True
    check_time(env)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("finite", "terminated", "truncated"),
    [(False, [True, False, False], [False, True, False]), (True, [True, True, False], [False, False, False])],
)
def test_where_the_horizon_is_finite_a_time_out_is_an_end_with_nothing_after_it(finite, terminated, truncated):
    ended = torch.tensor([True, False, False])
    out_of_time = torch.tensor([False, True, False])
    env = object.__new__(IsaacLabEnv)
    env.spec = SimpleNamespace(groups=[])  # type: ignore[assignment]
    env._cameras, env._images, env.tells_final_observations = None, [], False
    env.unwrapped = SimpleNamespace(  # type: ignore[assignment]
        cfg=SimpleNamespace(is_finite_horizon=finite),
        step=lambda action: ({}, torch.zeros(3), ended, out_of_time, {}),
        termination_manager=SimpleNamespace(active_terms=["success"], get_term=lambda name: ended),
    )
    step = env.step(torch.zeros(3, 1))
    assert step.terminated.tolist() == terminated
    assert step.truncated.tolist() == truncated
    assert step.success.tolist() == [True, False, False]
