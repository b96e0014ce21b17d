# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What happens in one world of MuJoCo's CPU engine stays there."""

import numpy as np
import pytest
import torch

from .conftest import roll_out, smooth_actions, solver_of, state_of

pytestmark = pytest.mark.sim


def test_worlds_share_models_until_they_differ(lift_env):
    models = solver_of(lift_env)._models
    robot = lift_env.scene["robot"]
    lift_env.reset(seed=0)
    assert models.num_models == 1

    stiffness = robot.data.joint_stiffness.torch.clone()
    factors = np.ones(lift_env.num_envs)
    for worlds, factor, count in (([2, 3], 0.5, 2), ([5], 2.0, 3), ([2, 3, 5], 1.0, 1)):
        factors[worlds] = factor
        ids = torch.tensor(worlds, dtype=torch.int32)
        robot.write_joint_stiffness_to_sim_index(stiffness=factor * stiffness[worlds], env_ids=ids)
        lift_env.step(torch.zeros(lift_env.num_envs, 7))
        assert models.num_models == count
        of_worlds = models.of_worlds(0.01)
        stiffest = [abs(model.actuator_biasprm[:, 1]).max() for model in of_worlds]
        np.testing.assert_allclose(stiffest, 2000.0 * factors, rtol=1e-6)
        for i, model in enumerate(of_worlds):
            assert all((model is other) == (factors[i] == factors[j]) for j, other in enumerate(of_worlds))


def test_resetting_one_world_leaves_the_others(lift_env):
    actions = smooth_actions(lift_env.num_envs, 20)

    def run(reset):
        lift_env.reset(seed=2)
        first = roll_out(lift_env, actions[:10])
        if reset:
            lift_env._reset_idx(torch.tensor([6], dtype=torch.int32))
        return torch.cat([first, roll_out(lift_env, actions[10:])])

    plain, with_reset = run(False), run(True)
    others = torch.arange(lift_env.num_envs) != 6
    assert torch.equal(plain[:, others], with_reset[:, others])
    assert not torch.equal(plain[10:, 6], with_reset[10:, 6])


FAULTS = {
    "nan position": ("position", torch.nan),
    "infinite velocity": ("velocity", torch.inf),
    "huge velocity": ("velocity", 1e9),
    "large velocity": ("velocity", 1e5),
    "huge position": ("position", 1e11),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_world_touches_no_other(lift_env, fault, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    kind, value = FAULTS[fault]
    world, actions = 5, smooth_actions(lift_env.num_envs, 15)
    robot, solver = lift_env.scene["robot"], solver_of(lift_env)

    def run(inject):
        lift_env.reset(seed=1)
        first = roll_out(lift_env, actions[:5])
        if inject:
            write = getattr(robot, f"write_joint_{kind}_to_sim_index")
            write(**{kind: torch.full((1, 9), value)}, env_ids=torch.tensor([world], dtype=torch.int32))
        after, ended = [], []
        for action in actions[5:]:
            ended.append(bool(lift_env.step(action)[2][world]))
            after.append(state_of(lift_env))
        return torch.cat([first, torch.stack(after)]), ended

    healthy, never = run(False)
    before = solver.num_diverged
    faulty, ended = run(True)
    others = torch.arange(lift_env.num_envs) != world
    assert torch.equal(faulty[:, others], healthy[:, others])
    assert not any(never) and ended == [True] + [False] * 9, "the world ends at once, and starts anew"
    assert torch.isfinite(faulty).all()
    assert not list(tmp_path.iterdir()), "MuJoCo wrote a log file"
    if fault == "nan position":
        assert solver.num_diverged == before, "the task wrote that NaN, the engine did not diverge"
    elif fault != "large velocity":
        assert solver.num_diverged == before + 1


def test_divergence_is_said_once_per_doubling(lift_env, caplog):
    solver = solver_of(lift_env)
    solver.num_diverged = 0
    for worlds in ([3], [4], [5], [6, 7]):
        solver._report_diverged(np.isin(np.arange(lift_env.num_envs), worlds))
    messages = [record.message for record in caplog.records if "diverged" in record.message]
    assert [message.split()[1] for message in messages] == ["1", "2", "5"]
    assert "last world 7" in messages[-1] and "until the task resets it" in messages[-1]
