# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Experts by a task's registration, and a waypoint expert's action; no simulator runs."""

import contextlib
import math
from types import SimpleNamespace

import gymnasium
import pytest
import torch

import zprl.tasks
from zprl.tasks.experts import Expert, ExpertCfg, WaypointCfg, WaypointExpert, WaypointExpertCfg, make_expert
from zprl.tasks.lift.config.franka.expert import LiftExpertCfg
from zprl.utils.errors import ZprlError

NAME = __name__


def like(values):
    """Return a field of simulator data."""
    return SimpleNamespace(torch=torch.tensor(values).repeat(2, 1))


def environment(terms):
    """Return two worlds with an end effector at (0.5, 0, 0.3) that looks down, and action terms {name: size}."""
    pose = (torch.tensor([[0.5, 0.0, 0.3]]).repeat(2, 1), torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(2, 1))
    arm = SimpleNamespace(
        cfg=SimpleNamespace(asset_name="robot"), _compute_frame_pose=lambda: pose, _scale=torch.full((2, 6), 0.05)
    )
    data = SimpleNamespace(root_pos_w=like([0.0, 0.0, 0.0]), root_quat_w=like([0.0, 0.0, 0.0, 1.0]))
    return SimpleNamespace(
        num_envs=2,
        device="cpu",
        cfg=SimpleNamespace(
            action_limits={name: (0.0, 0.5) if "grip" in name else (-1.0, 1.0) for name in terms},
            idle_action={name: [10.0 + i for i in range(size)] for name, size in terms.items()},
        ),
        action_manager=SimpleNamespace(
            active_terms=list(terms), action_term_dim=list(terms.values()), get_term={"right_arm": arm}.__getitem__
        ),
        scene={"robot": SimpleNamespace(data=data)},
    )


@contextlib.contextmanager
def registered(**kwargs):
    gymnasium.register("Zprl-Test-Expert", entry_point="nowhere:Nothing", kwargs=kwargs)
    try:
        yield "Zprl-Test-Expert"
    finally:
        del gymnasium.registry["Zprl-Test-Expert"]


class CountingExpert(Expert):
    """An expert that a task brings along."""

    def __init__(self, cfg, env, quality="expert", seed=0):
        self.arguments = (env, quality, seed)

    def reset(self, env_ids):
        pass

    def act(self):
        return torch.zeros(2, 3)


def counting_cfg():
    return ExpertCfg(class_type=CountingExpert)


def missing_cfg():
    return ExpertCfg(class_type="zprl.tasks.experts:NoSuchExpert")


def lost_cfg():
    return ExpertCfg(class_type="zprl.no_such_module:Expert")


def wrong_cfg():
    return ExpertCfg(class_type="zprl.tasks.experts:WaypointCfg")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let an entry point name this module, however pytest imported it."""
    import sys

    monkeypatch.setitem(sys.modules, "expert_cfgs_of_the_test", sys.modules[NAME])


def test_the_registered_expert_is_made():
    with registered(expert_entry_point="expert_cfgs_of_the_test:counting_cfg") as task:
        expert = make_expert(task, "env", "mixed", 3)  # type: ignore[arg-type]
    assert isinstance(expert, CountingExpert)
    assert expert.arguments == ("env", "mixed", 3)
    assert "Zprl-Lift-Franka" in gymnasium.registry and zprl.tasks
    env = environment({"arm_action": 6, "gripper_action": 1})
    env.action_manager.get_term = lambda name: environment({}).action_manager.get_term("right_arm")
    assert type(make_expert("Zprl-Lift-Franka", env)) is WaypointExpert  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ("missing_cfg", "'zprl.tasks.experts:NoSuchExpert', which cannot be found: "),
        ("lost_cfg", "'zprl.no_such_module:Expert', which cannot be found: "),
        ("wrong_cfg", "'zprl.tasks.experts:WaypointCfg', which is no subclass of"),
    ],
)
def test_an_unknown_class_is_refused_in_a_sentence(cfg, words):
    with (
        registered(expert_entry_point=f"expert_cfgs_of_the_test:{cfg}") as task,
        pytest.raises(ZprlError, match=words) as error,
    ):
        make_expert(task, None)  # type: ignore[arg-type]
    assert task in str(error.value) and "\n" not in str(error.value)


def test_a_task_that_is_not_registered_is_refused():
    with pytest.raises(ZprlError, match=r"no task 'Zprl-Lift-Frank' \(did you mean .*Zprl-Lift-Franka"):
        make_expert("Zprl-Lift-Frank", None)  # type: ignore[arg-type]


def test_a_task_without_an_expert_is_refused():
    with registered() as task, pytest.raises(ZprlError, match="has no scripted expert"):
        make_expert(task, None)  # type: ignore[arg-type]


def test_an_unknown_quality_is_refused():
    with pytest.raises(ValueError, match="Unknown quality 'poor'"):
        LiftExpertCfg().noise("poor")


def test_an_action_is_put_together_by_the_names_of_the_terms():
    """The gripper stands before the arm, and the other arm idles."""
    terms = {"right_grip": 1, "left_arm": 6, "right_arm": 6}
    cfg = WaypointExpertCfg(
        waypoints=[
            WaypointCfg(pos=(0.02, 0.0, 0.0), gripper_open=False),
            WaypointCfg(pos=(0.0, 0.0, 0.0), gripper_open=True),
        ],
        arm_action_name="right_arm",
        gripper_action_name="right_grip",
        gain=1.0,
    )
    expert = WaypointExpert(cfg, environment(terms))  # type: ignore[arg-type]
    action = expert.act()
    grip, idle, arm = action.split([1, 6, 6], dim=1)
    assert torch.equal(grip, torch.zeros(2, 1))  # the lower limit closes
    assert torch.equal(idle, torch.arange(10.0, 16.0).repeat(2, 1))
    torch.testing.assert_close(arm[:, :3], torch.tensor([[0.4, 0.0, 0.0]]).repeat(2, 1))  # 0.02 m of 0.05 m
    assert arm[:, 3:].abs().max() < math.radians(0.1)
    cfg.waypoints[0].pos = (0.0, 0.0, 0.0)  # reached at once
    opened = WaypointExpert(cfg, environment(terms)).act()  # type: ignore[arg-type]
    assert torch.equal(opened[:, :1], torch.full((2, 1), 0.5))  # the upper limit opens
