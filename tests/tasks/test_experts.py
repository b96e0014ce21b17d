# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Experts by a task's registration, and a waypoint expert's action; no simulator runs."""

import contextlib
import itertools
import math
from types import SimpleNamespace

import gymnasium
import pytest
import torch

from isaaclab.utils.math import euler_xyz_from_quat, quat_from_angle_axis, quat_mul

import zprl.tasks
from zprl.tasks.experts import (
    ArmWaypointsCfg,
    Expert,
    ExpertCfg,
    ExpertNoiseCfg,
    WaypointCfg,
    WaypointExpert,
    WaypointExpertCfg,
    make_expert,
)
from zprl.tasks.lift.config.franka.expert import LiftExpertCfg
from zprl.utils.errors import ZprlError

NAME = __name__


def like(values):
    """Return a field of simulator data."""
    return SimpleNamespace(torch=torch.tensor(values).repeat(2, 1))


class FakeArm:
    """An arm that goes exactly where it is told, 0.05 m or rad for an action of 1."""

    def __init__(self, pos):
        self.cfg = SimpleNamespace(asset_name="robot")
        self.pos, self.quat = torch.tensor([pos]).repeat(2, 1), torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(2, 1)
        self._scale = torch.full((2, 6), 0.05)

    def _compute_frame_pose(self):
        return self.pos, self.quat

    reference_pose = _compute_frame_pose

    def move(self, action):
        self.pos = self.pos + 0.05 * action[:, :3]
        turn = 0.05 * action[:, 3:]
        self.quat = quat_mul(quat_from_angle_axis(turn.norm(dim=1), turn), self.quat)

    @property
    def yaw(self):
        return euler_xyz_from_quat(self.quat)[2]


def thing(pos, yaw=0.0):
    """Return a scene entity at a place and yaw."""
    quat = [0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)]
    return SimpleNamespace(data=SimpleNamespace(root_pos_w=like(pos), root_quat_w=like(quat)))


def environment(terms, **things):
    """Return two worlds, action terms {name: size}, of which arms are at (0.5, 0, 0.3) and look down, and things."""
    arms = {name: FakeArm([0.5, 0.0, 0.3]) for name in ("left_arm", "right_arm")}
    return SimpleNamespace(
        num_envs=2,
        device="cpu",
        cfg=SimpleNamespace(
            action_limits={name: (0.0, 0.5) if "grip" in name else (-1.0, 1.0) for name in terms},
            idle_action={name: [10.0 + i for i in range(size)] for name, size in terms.items()},
        ),
        action_manager=SimpleNamespace(
            active_terms=list(terms), action_term_dim=list(terms.values()), get_term=arms.__getitem__
        ),
        scene={"robot": thing([0.0, 0.0, 0.0]), **things},
    )


RIGHT = {"right_arm": 6, "right_grip": 1}


def right(*waypoints, **settings):
    """Return an expert whose right arm has these waypoints, without noise."""
    arm = ArmWaypointsCfg(waypoints=list(waypoints), arm_action_name="right_arm", gripper_action_name="right_grip")
    return WaypointExpertCfg(arms=[arm], **{"gain": 1.0, **settings})


def follow(expert, env, steps):
    """Let the arms go where the expert commands them; return the right gripper's commands of the first world."""
    grips, sizes = [], env.action_manager.action_term_dim
    for _ in range(steps):
        action = dict(zip(env.action_manager.active_terms, expert.act().split(sizes, 1), strict=True))
        for name in action:
            if name.endswith("arm"):
                env.action_manager.get_term(name).move(action[name])
        grips.append(action["right_grip"][0].item())
    return grips


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
    env.action_manager.get_term = lambda name: FakeArm([0.5, 0.0, 0.3])
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
    with registered() as task, pytest.raises(ZprlError, match="has no expert"):
        make_expert(task, None)  # type: ignore[arg-type]


def test_an_unknown_quality_is_refused():
    with pytest.raises(ValueError, match="Unknown quality 'poor'"):
        LiftExpertCfg().noise("poor")


def test_an_action_is_put_together_by_the_names_of_the_terms():
    """The gripper stands before the arm, and the other arm idles."""
    terms = {"right_grip": 1, "left_arm": 6, "right_arm": 6}
    cfg = right(WaypointCfg(pos=(0.02, 0.0, 0.0), gripper_open=False), WaypointCfg(gripper_open=True))
    expert = WaypointExpert(cfg, environment(terms))  # type: ignore[arg-type]
    action = expert.act()
    grip, idle, arm = action.split([1, 6, 6], dim=1)
    assert torch.equal(grip, torch.zeros(2, 1))  # the lower limit closes
    assert torch.equal(idle, torch.arange(10.0, 16.0).repeat(2, 1))
    torch.testing.assert_close(arm[:, :3], torch.tensor([[0.4, 0.0, 0.0]]).repeat(2, 1))  # 0.02 m of 0.05 m
    assert arm[:, 3:].abs().max() < math.radians(0.1)
    cfg.arms[0].waypoints[0].pos = (0.0, 0.0, 0.0)  # reached at once
    opened = WaypointExpert(cfg, environment(terms)).act()  # type: ignore[arg-type]
    assert torch.equal(opened[:, :1], torch.full((2, 1), 0.5))  # the upper limit opens


def test_a_waypoint_is_given_in_its_frames_place_and_yaw():
    env = environment(RIGHT, nut=thing([0.6, 0.1, 0.3], yaw=0.5))
    waypoint = WaypointCfg(frame="nut", pos=(0.1, 0.0, 0.02), yaw=0.3, yaw_symmetry=math.pi)
    follow(WaypointExpert(right(waypoint), env), env, 40)  # type: ignore[arg-type]
    arm = env.action_manager.get_term("right_arm")
    expected = torch.tensor([0.6 + 0.1 * math.cos(0.5), 0.1 + 0.1 * math.sin(0.5), 0.32])
    torch.testing.assert_close(arm.pos[0], expected, atol=1e-5, rtol=0)
    assert arm.yaw[0].item() == pytest.approx(0.8, abs=1e-5)
    env.scene["nut"] = thing([0.7, 0.0, 0.3], yaw=0.5 + math.pi)  # the waypoint follows, and the yaw looks the same
    follow(expert := WaypointExpert(right(waypoint), env), env, 20)  # type: ignore[arg-type]
    assert arm.yaw[0].item() == pytest.approx(0.8, abs=1e-5) and expert
    assert arm.pos[0, 0].item() == pytest.approx(0.7 - 0.1 * math.cos(0.5), abs=1e-5)


def test_a_waypoint_may_be_given_along_the_robots_axes():
    env = environment(RIGHT, nut=thing([0.6, 0.1, 0.3], yaw=0.5))
    waypoint = WaypointCfg(frame="nut", pos=(0.1, 0.0, 0.02), in_root_axes=True, yaw=None)
    follow(WaypointExpert(right(waypoint), env), env, 40)  # type: ignore[arg-type]
    arm = env.action_manager.get_term("right_arm")
    torch.testing.assert_close(arm.pos[0], torch.tensor([0.7, 0.1, 0.32]), atol=1e-5, rtol=0)
    assert arm.yaw[0].item() == pytest.approx(0.0, abs=1e-5)


def test_an_arm_without_a_gripper_whose_actions_move_its_target_is_commanded_from_there():
    class LaggingArm(FakeArm):
        """An arm that goes half of the way to its target in a step."""

        def __init__(self):
            super().__init__([0.5, 0.0, 0.3])
            self.target = self.pos

        def reference_pose(self):
            return self.target, self.quat

        def move(self, action):
            self.target = self.target + 0.05 * action[:, :3]
            self.pos = self.pos + 0.5 * (self.target - self.pos)

    env, arm = environment({"right_arm": 6}), LaggingArm()
    env.action_manager.get_term = {"right_arm": arm}.__getitem__
    script = ArmWaypointsCfg(
        waypoints=[WaypointCfg(frame="robot", pos=(0.58, 0.0, 0.3))],
        arm_action_name="right_arm",
        gripper_action_name=None,
    )
    expert = WaypointExpert(WaypointExpertCfg(arms=[script], gain=1.0), env)  # type: ignore[arg-type]
    commanded = []
    for _ in range(4):
        action = expert.act()
        assert action.shape == (2, 6)
        commanded.append(action[0, 0].item())
        arm.move(action)
    # 8 cm are an action of 1 and one of 0.6; nothing is added for what the arm lags behind.
    assert commanded == pytest.approx([1.0, 0.6, 0.0, 0.0], abs=1e-5)


def test_a_gripper_is_tilted_from_pointing_down():
    env = environment(RIGHT, nut=thing([0.5, 0.0, 0.3]))
    follow(WaypointExpert(right(WaypointCfg(frame="nut", tilt=(0.2, -0.4))), env), env, 40)  # type: ignore[arg-type]
    roll, pitch, yaw = (angle[0].item() for angle in euler_xyz_from_quat(env.action_manager.get_term("right_arm").quat))
    assert math.remainder(roll - math.pi - 0.2, 2 * math.pi) == pytest.approx(0.0, abs=1e-4)
    assert (pitch, yaw) == pytest.approx((-0.4, 0.0), abs=1e-4)


@pytest.mark.parametrize("begun", [0.0, 0.6])
def test_an_arm_goes_along_an_arc_around_a_hinge(begun):
    """It begins a centimetre further from the hinge than the arc does, and keeps that, at either angle."""
    env = environment(RIGHT, box=thing([0.4, 0.1, 0.0], yaw=0.5))
    arm = env.action_manager.get_term("right_arm")
    hinge, radius = (0.1, 0.02, 0.2), 0.21
    start = (hinge[0] - radius * math.cos(begun), hinge[1] + 0.03, hinge[2] + radius * math.sin(begun))
    arc = WaypointCfg(
        frame="box", pos=hinge, arc=(0.0, 1.2, 0.0), arc_from=(-0.2, 0.03, 0.0), yaw=None, tilt=(0.0, 0.6), max_turn=1.0
    )
    expert = WaypointExpert(right(WaypointCfg(frame="box", pos=start, tolerance=1e-4, yaw=None), arc), env)  # type: ignore[arg-type]
    centre = [0.4 + 0.1 * math.cos(0.5) - 0.02 * math.sin(0.5), 0.1 + 0.1 * math.sin(0.5) + 0.02 * math.cos(0.5), 0.2]
    angles = []
    for _ in range(40):
        follow(expert, env, 1)
        seen = arm.pos[0] - torch.tensor(centre)
        along, beside, above = (
            seen @ torch.tensor(axis)
            for axis in ([math.cos(0.5), math.sin(0.5), 0.0], [-math.sin(0.5), math.cos(0.5), 0.0], [0.0, 0.0, 1.0])
        )
        if expert._arms[0]._index[0]:
            assert math.hypot(along, above) == pytest.approx(radius, abs=1e-3)  # between steps it cuts the corner
            assert beside.item() == pytest.approx(0.03, abs=1e-3)
            angles.append(math.atan2(above, -along))
    assert min(angles) > begun - 0.01 and sorted(angles) == pytest.approx(angles, abs=1e-4)
    assert max(b - a for a, b in itertools.pairwise(angles)) == pytest.approx(0.24, abs=0.02)  # 5 cm a step
    assert angles[-1] == pytest.approx(1.2, abs=1e-3)
    assert euler_xyz_from_quat(arm.quat)[1][0].item() == pytest.approx(0.6, abs=1e-3)


def test_a_waypoint_follows_a_body_of_an_articulation():
    box = thing([9.0, 9.0, 9.0])
    places = torch.tensor([[[0.0, 0.0, 0.0], [0.5, 0.1, 0.3]], [[0.0, 0.0, 0.0], [0.6, 0.0, 0.3]]])
    yaws = torch.tensor([[0.0, 0.4], [0.0, -0.4]])
    quats = torch.stack([0 * yaws, 0 * yaws, (yaws / 2).sin(), (yaws / 2).cos()], dim=2)
    box.data.body_link_pos_w, box.data.body_link_quat_w = (SimpleNamespace(torch=value) for value in (places, quats))
    box.body_names = ["base", "lid"]
    env = environment(RIGHT, box=box)
    follow(WaypointExpert(right(WaypointCfg(frame="box/lid", pos=(0.1, 0.0, 0.0))), env), env, 40)  # type: ignore[arg-type]
    arm = env.action_manager.get_term("right_arm")
    away = 0.1 * torch.stack([yaws[:, 1].cos(), yaws[:, 1].sin(), 0 * yaws[:, 1]], dim=1)
    torch.testing.assert_close(arm.pos, places[:, 1] + away, atol=1e-4, rtol=0)
    torch.testing.assert_close(arm.yaw, yaws[:, 1], atol=1e-4, rtol=0)
    with pytest.raises(ZprlError, match=r"names the body 'box/lift', and those of box are base, lid\.$"):
        WaypointExpert(right(WaypointCfg(frame="box/lift")), env).act()  # type: ignore[arg-type]


def test_what_is_carried_is_brought_to_the_waypoint_not_the_hand():
    env = environment(RIGHT, peg=thing([0.7, 0.2, 0.3], yaw=0.4))
    arm = env.action_manager.get_term("right_arm")
    waypoint = WaypointCfg(frame="peg", pos=(0.0, 0.0, 0.1), carried="nut", tolerance=0.001, yaw_tolerance=0.001)
    cfg = right(waypoint, WaypointCfg(gripper_open=True), WaypointCfg(gripper_open=False))
    grip = torch.tensor([0.03, 0.01, -0.02])  # where the nut is in the hand

    class Held:
        """A nut that is held askew: it turns and moves with the hand."""

        @property
        def data(self):
            yaw = arm.yaw + 0.1
            quat = torch.stack([0 * yaw, 0 * yaw, (yaw / 2).sin(), (yaw / 2).cos()], dim=1)
            return SimpleNamespace(
                root_pos_w=SimpleNamespace(torch=arm.pos + grip), root_quat_w=SimpleNamespace(torch=quat)
            )

    env.scene["nut"] = Held()
    follow(WaypointExpert(cfg, env), env, 20)  # type: ignore[arg-type]
    torch.testing.assert_close(arm.pos[0] + grip, torch.tensor([0.7, 0.2, 0.4]), atol=1e-3, rtol=0)
    assert arm.yaw[0].item() + 0.1 == pytest.approx(0.4, abs=1e-3)


def test_a_waypoint_out_of_reach_ends_with_its_time():
    env = environment(RIGHT)
    cfg = right(WaypointCfg(pos=(9.0, 0.0, 0.0), gripper_open=False, max_steps=3), WaypointCfg(gripper_open=True))
    assert follow(WaypointExpert(cfg, env), env, 6) == [0.0] * 3 + [0.5] * 3  # type: ignore[arg-type]


def test_an_arm_that_has_lost_what_it_held_begins_anew():
    env = environment(RIGHT, can=thing([0.5, 0.0, 0.3]))
    carry = WaypointCfg(pos=(0.0, 0.0, 9.0), gripper_open=False, grasped="can", retry_from=0)
    expert = WaypointExpert(right(WaypointCfg(frame="can", tolerance=0.03), carry, slip_distance=0.12), env)  # type: ignore[arg-type]
    # Open above the can, then it stays behind while the hand rises by 0.05 m a step: 0.15 m away it is missed.
    assert follow(expert, env, 4) == [0.0, 0.0, 0.0, 0.5]
    arm = env.action_manager.get_term("right_arm")
    follow(expert, env, 1)
    assert arm.pos[0, 2].item() < 0.4  # back to the can


def test_arms_wait_for_each_other_at_a_barrier():
    terms = {"left_arm": 6, "left_grip": 1, **RIGHT}
    there = WaypointCfg(pos=(0.0, 0.0, 0.5), gripper_open=False, barrier="hand-over")
    here = WaypointCfg(gripper_open=False, barrier="hand-over")
    arms = [
        ArmWaypointsCfg(waypoints=[way, WaypointCfg(gripper_open=True)], arm_action_name=f"{side}_arm",
                        gripper_action_name=f"{side}_grip")
        for side, way in (("left", there), ("right", here))
    ]  # fmt: skip
    env = environment(terms)
    expert = WaypointExpert(WaypointExpertCfg(arms=arms, gain=1.0), env)  # type: ignore[arg-type]
    # The right arm is there at once; the left one has 0.5 m to go, at 0.05 m a step, to within 0.015 m.
    assert follow(expert, env, 12) == [0.0] * 10 + [0.5] * 2


@pytest.mark.parametrize(
    ("waypoints", "words"),
    [
        ([WaypointCfg(retry_from=1)], "goes back to number 1, and there are 1, from 0 on"),
        ([WaypointCfg(barrier="a"), WaypointCfg(barrier="a")], "have the barrier 'a' twice"),
        ([WaypointCfg(arc=(0.0, 1.0, 0.0), arc_from=(1.0, 0.0, 0.0))], "waypoint 0 of right_arm is an arc"),
        ([WaypointCfg(), WaypointCfg(arc=(0.0, 1.0, 0.0), arc_from=(0.0, 2.0, 0.0))], "away from its axis"),
    ],
)
def test_waypoints_that_do_not_fit_together_are_refused(waypoints, words):
    with pytest.raises(ZprlError, match=words):
        WaypointExpert(right(*waypoints), environment(RIGHT))  # type: ignore[arg-type]


def test_one_number_scales_all_of_the_noise():
    noise = ExpertNoiseCfg(action_std=0.2, position_bias=0.01, yaw_bias=0.3, speed_range=(0.8, 1.2))
    cfg = right(WaypointCfg(), mixed=noise, noise_scale=0.5)
    half = cfg.noise("mixed")
    assert (half.action_std, half.position_bias, half.yaw_bias) == pytest.approx((0.1, 0.005, 0.15))
    assert half.speed_range == pytest.approx((0.9, 1.1))
    assert noise.scaled(9.0).speed_range == pytest.approx((0.1, 2.8))
    assert cfg.noise("expert") == ExpertNoiseCfg()
