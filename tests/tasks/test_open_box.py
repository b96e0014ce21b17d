# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The open-box task: what is a success, in states that are placed by hand, and in worlds that it takes two arms."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zprl.robustness.catalogue import disturbances_of, parse_disturbances
from zprl.robustness.disturbances import Draws

pytestmark = pytest.mark.sim

TASK = "Zprl-OpenBox-DualFranka"
WORLDS = 32
SHUT = {"angle": 0.0}
OPEN = {"angle": 1.21}
HELD = 5
"""Control steps for which a box has to be open."""


@pytest.fixture(scope="module")
def success():
    """Give the task's success term, made for one world whose state the next function sets, and that world."""
    from zprl.tasks.open_box.config.dual_franka.env_cfg import DualFrankaOpenBoxEnvCfg

    cfg: Any = DualFrankaOpenBoxEnvCfg()
    term = cfg.terminations.success
    assert cfg.rewards.success.func is term.func and cfg.rewards.success.params.keys() == term.params.keys()
    params = {**term.params, "lid_cfg": SimpleNamespace(name="object", joint_ids=[0])}
    world = SimpleNamespace(num_envs=1, device="cpu", step_dt=0.05, scene={})
    return term.func(term, world), world, params


def succeeded(success, *states):
    """Return after which steps an episode with these states is a success, counted from 1."""
    term, world, params = success
    term.reset()
    found = []
    for number, state in enumerate(states, 1):
        place, tilt = state.get("place", (0.45, 0.0, 0.0)), state.get("tilt", (0.0, 0.0))
        half = 0.5 * math.hypot(*tilt)
        axis = [t / (2 * half) * math.sin(half) if half else 0.0 for t in tilt]
        values = {
            "joint_pos": [[state["angle"]]],
            "joint_vel": [[state.get("turn", 0.0)]],
            "root_pos_w": [place],
            "root_quat_w": [[*axis, 0.0, math.cos(half)]],
            "root_lin_vel_w": [state.get("speed", (0.0, 0.0, 0.0))],
        }
        fields = {name: SimpleNamespace(torch=torch.tensor(value)) for name, value in values.items()}
        world.scene["object"] = SimpleNamespace(data=SimpleNamespace(**fields))
        if term(world, **params).item():
            found.append(number)
    return found


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"angle": 1.9},
        {"place": (0.4771, 0.0271, 0.0)},  # 3.83 cm away
        {"tilt": (0.19, 0.0)},
        {"tilt": (0.0, -0.19)},
        {"turn": -0.45},
        {"speed": (0.03, 0.03, 0.0)},
    ],
)
def test_a_box_that_has_been_open_for_a_while_is_success(success, state):
    assert succeeded(success, SHUT, *[{**OPEN, **state}] * (HELD + 1)) == [HELD + 1, HELD + 2]


@pytest.mark.parametrize(
    "state",
    [
        {"angle": 1.19},
        {"place": (0.4791, 0.0291, 0.0)},  # 4.12 cm away
        {"place": (0.45, 0.0, 0.041)},  # lifted
        {"tilt": (0.21, 0.0)},
        {"tilt": (0.0, -0.21)},
        {"tilt": (0.16, 0.16)},
        {"turn": 0.55},  # thrown open
        {"turn": -0.55},  # falling shut
        {"speed": (0.06, 0.0, 0.0)},  # still sliding
    ],
)
def test_anything_less_is_not(success, state):
    assert not succeeded(success, SHUT, *[{**OPEN, **state}] * 20)


def test_a_break_begins_the_time_anew_and_an_episode_the_place(success):
    assert succeeded(success, SHUT, *[OPEN] * (HELD - 1), SHUT, *[OPEN] * HELD) == [2 * HELD + 1]
    elsewhere = {"place": (0.55, 0.1, 0.0)}
    assert succeeded(success, {**SHUT, **elsewhere}, *[{**OPEN, **elsewhere}] * HELD) == [HELD + 1]


@pytest.fixture(scope="module")
def env():
    """Give noiseless worlds on the CPU, behind the protocol of the layers above."""
    from zprl.runs.session import TaskSession

    session = TaskSession(TASK, "cpu", ["env.observations.policy.enable_corruption=False"], num_envs=WORLDS)
    with session.launched(), session.environment() as env:
        yield env


def episode(env, cfg=None, quality="expert"):
    """Let an expert act in each world's first episode; return what succeeds, and how far each box was moved at most."""
    from zprl.tasks.experts import make_expert

    world = env.unwrapped
    env.reset(seed=0)
    box = world.scene["object"].data
    expert, start = make_expert(TASK, world, quality, cfg=cfg), box.root_pos_w.torch.clone()
    ended, success = torch.zeros(2, WORLDS, dtype=torch.bool)
    moved = torch.zeros(WORLDS)
    for _ in range(world.max_episode_length):
        _, _, terminated, truncated, _ = world.step(expert.act())
        success |= world.termination_manager.get_term("success") & ~ended
        assert not (world.termination_manager.get_term("non_finite_state") & ~ended).any()
        ended |= terminated | truncated
        away = (box.root_pos_w.torch - start).norm(dim=1)
        moved = torch.where(ended, moved, torch.maximum(moved, away))
        expert.reset((terminated | truncated).nonzero()[:, 0])
        if ended.all():
            break
    return success, moved


def test_the_expert_succeeds(env):
    # It succeeds in 200 of 200; if that were luck, at 98.5 %, fewer than 29 of 32 would be two chances in a thousand.
    success, moved = episode(env)
    assert success.sum() >= 29
    assert moved[success].max() < 0.04


def test_one_arm_alone_drags_the_box_along(env):
    """The right arm does what it does in the test before, slowly or fast, and nobody holds the box."""
    from zprl.tasks.experts import ExpertNoiseCfg
    from zprl.tasks.experts.expert import expert_cfg_of

    cfg = expert_cfg_of(TASK)
    cfg.arms = cfg.arms[1:]
    cfg.mixed, cfg.noise_scale = ExpertNoiseCfg(speed_range=(0.4, 1.6)), 1.0
    success, moved = episode(env, cfg, "mixed")
    assert not success.any()
    assert (moved > 0.04).all()


def idle(env):
    return env.spec.idle_action("cpu").expand(WORLDS, -1)


def place_lid(env, angle, velocity: Any = 0.0):
    """Put the lids at angles [rad], with speeds [rad/s]; each is a number or one per world."""
    position, speed = (torch.zeros(WORLDS, 1) + torch.as_tensor(value).reshape(-1, 1) for value in (angle, velocity))
    env.unwrapped.scene["object"].write_joint_state_to_sim_index(position=position, velocity=speed)


def energy(env):
    """Return the mechanical energy of each box [J], shape (WORLDS,): of its bodies, and of their turning about y."""
    from zprl.tasks.open_box.box_usd import LINKS

    data = env.unwrapped.scene["object"].data
    masses, inertias = (
        torch.tensor([value(link) for link in LINKS]) for value in (lambda x: x.mass, lambda x: x.inertia[1])
    )
    height, velocity = data.body_com_pos_w.torch[..., 2], data.body_com_lin_vel_w.torch
    turning = data.body_com_ang_vel_w.torch.square().sum(dim=2)
    return (masses * (9.81 * height + 0.5 * velocity.square().sum(dim=2)) + 0.5 * inertias * turning).sum(dim=1)


def test_a_box_that_nobody_touches_stays_as_it_is(env):
    """For 5 s, shut or ajar: it neither moves nor creeps nor gains energy."""
    env.reset(seed=1)
    box = env.unwrapped.scene["object"].data
    ajar = torch.where(torch.arange(WORLDS) % 2 == 0, 0.0, torch.linspace(0.05, 1.1, WORLDS))
    place_lid(env, ajar)
    start = box.root_pos_w.torch.clone()
    for _ in range(4):  # the table takes the weight
        env.unwrapped.step(idle(env))
    before = energy(env)
    for _ in range(100):
        env.unwrapped.step(idle(env))
        assert box.joint_vel.torch.abs().max() < 5e-3
        assert box.root_lin_vel_w.torch.norm(dim=1).max() < 1e-3
        assert (energy(env) - before).max() < 5e-5  # of 0.3 J
        assert not env.unwrapped.termination_manager.get_term("success").any()
    assert (box.joint_pos.torch[:, 0] - ajar).abs().max() < 0.01
    assert (box.root_pos_w.torch - start).norm(dim=1).max() < 1e-3


def test_a_lid_that_is_thrown_comes_to_rest_and_goes_through_nothing(env):
    """From 1 rad, shut at up to 9 rad/s and open at up to 7: of those 60 mJ, soft stops give back little."""
    env.reset(seed=2)
    box = env.unwrapped.scene["object"].data
    place_lid(env, 1.0, torch.linspace(-9.0, 7.0, WORLDS))
    before = energy(env)
    for _ in range(60):
        env.unwrapped.step(idle(env))
        now = energy(env)
        assert (now - before).max() < 3e-3
        before = torch.minimum(before, now)
        assert box.joint_pos.torch.min() > -0.03 and box.joint_pos.torch.max() < 1.93
        assert box.root_pos_w.torch[:, 2].min() > -2e-3
    assert box.joint_vel.torch.abs().max() < 5e-3


def test_a_hand_that_presses_does_not_go_through_the_shelf(env):
    """The left hand is driven down on the 8 mm thick shelf with full strength for 2 s."""
    from zprl.tasks.experts import ArmWaypointsCfg, WaypointCfg, WaypointExpert, WaypointExpertCfg
    from zprl.tasks.open_box.config.dual_franka.expert import LEFT_WAYPOINTS

    world = env.unwrapped
    env.reset(seed=3)
    down = WaypointCfg(pos=(0.0, 0.0, -1.0), gripper_open=False)
    cfg = WaypointExpertCfg(
        arms=[ArmWaypointsCfg([*LEFT_WAYPOINTS[:2], down], "left_arm_action", "left_gripper_action")]
    )
    expert = WaypointExpert(cfg, world)
    for step in range(90):
        world.step(expert.act())
        tips = expert._arms[0]._arm._compute_frame_pose()[0][:, 2] - 0.0095
        if step > 50:
            assert tips.min() > 0.08 and tips.max() < 0.095
    assert world.scene["object"].data.root_pos_w.torch[:, 2].min() > -5e-3


def test_the_contract_has_both_arms_and_the_lid(env):
    spec = env.spec
    assert [str(feature) for feature in spec.group("policy").features] == [
        *("joint_pos[18]", "left_ee_pose[9]", "right_ee_pose[9]", "object_pose[9]"),
        *("object_in_left_ee_frame[3]", "object_in_right_ee_frame[3]", "lid_pos[1]"),
    ]
    assert [str(action) for action in spec.actions] == [
        *("left_arm_action[6]", "left_gripper_action[1]", "right_arm_action[6]", "right_gripper_action[1]")
    ]
    obs = env.reset(seed=4)["policy"]
    place_lid(env, torch.linspace(0.1, 1.0, WORLDS))
    obs = env.step(idle(env)).observations["policy"]
    lid = obs[:, spec.group("policy").slices()["lid_pos"]]
    torch.testing.assert_close(lid[:, 0], torch.linspace(0.1, 1.0, WORLDS), atol=1e-3, rtol=0)


def test_boxes_are_put_where_the_task_says(env):
    places, yaws = [], []
    for seed in range(8):
        env.reset(seed=seed)
        data = env.unwrapped.scene["object"].data
        places.append(data.root_pos_w.torch.clone())
        yaws.append(2 * torch.atan2(data.root_quat_w.torch[:, 2], data.root_quat_w.torch[:, 3]))
        assert not data.joint_pos.torch.any()
    found = torch.cat([torch.cat(places)[:, :2], torch.cat(yaws)[:, None]], dim=1)
    low, high = torch.tensor([[0.36, -0.08, -0.35], [0.50, 0.08, 0.35]])
    assert (found >= low - 1e-6).all() and (found <= high + 1e-6).all()
    # Of 256 uniform draws the least and the greatest are within a tenth of the range of its ends.
    assert (found.amin(0) - low <= 0.1 * (high - low)).all() and (high - found.amax(0) <= 0.1 * (high - low)).all()


def test_a_box_that_falls_off_the_table_ends_its_episode_alone(env):
    world = env.unwrapped
    env.reset(seed=5)
    pose = world.scene["object"].data.root_pose_w.torch.clone()
    pose[5, :3] = torch.tensor([1.5, 0.0, -0.19])
    world.scene["object"].write_root_pose_to_sim_index(root_pose=pose)
    ended = torch.zeros(WORLDS, dtype=torch.long)
    for _ in range(3):
        _, _, terminated, truncated, _ = world.step(idle(env))
        assert not world.termination_manager.get_term("success").any() and not truncated.any()
        ended += terminated
    assert ended.nonzero().flatten().tolist() == [5]


def test_a_kicked_box_slides_by_3_cm_in_the_middle_third(env):
    """Along x and y; between them MuJoCo's pyramid of friction is weaker by up to a factor of sqrt(2)."""
    own = disturbances_of(TASK)
    assert set(parse_disturbances(None, own)) >= set(own) == {"disturbance", "out_of_range"}
    world, targets = env.unwrapped, env.unwrapped.cfg.disturbance_targets
    signal = own["disturbance"].start(Draws(0, range(WORLDS), WORLDS, 160), env.spec, targets)
    env.reset(seed=6)
    box = world.scene["object"].data
    start, kicked = box.root_pos_w.torch.clone(), torch.full((WORLDS,), -1)
    for step in range(125):
        velocity = box.root_vel_w.torch.clone()
        signal.disturb(env)
        kicked[(box.root_vel_w.torch - velocity).norm(dim=1) > 0.4] = step
        world.step(idle(env))
    assert kicked.min() >= 53 and kicked.max() < 107
    away = box.root_pos_w.torch - start
    distance = away[:, :2].norm(dim=1)
    assert 0.027 < distance.min() < 0.032 and distance.max() < 0.045
    assert away[:, :2].mean(dim=0).norm() < 0.015  # in all directions


@pytest.mark.parametrize(("amount", "factor"), [(0.6, 1.6), (0.0, 1.0)])
def test_out_of_range_boxes_stand_further_from_the_same_middle(amount, factor):
    from zprl.sim.isaaclab import resolve_task

    cfg, _ = resolve_task(TASK, None, [])
    disturbances_of(TASK)["out_of_range"].with_strength(amount).configure(cfg)
    events: Any = cfg.events
    params = events.reset_object.params
    assert params["x_range"] == pytest.approx((0.43 - factor * 0.07, 0.43 + factor * 0.07))
    assert params["y_range"] == pytest.approx((-factor * 0.08, factor * 0.08))
    assert params["yaw_range"] == pytest.approx((-factor * 0.35, factor * 0.35))
    assert params["height"] == 0.0


def test_the_file_is_what_the_generator_writes(tmp_path):
    from zprl.tasks.open_box.box_usd import write_box
    from zprl.tasks.open_box.open_box_env_cfg import BOX_USD

    assert write_box(tmp_path / "box.usda").read_text() == BOX_USD.read_text(), (
        "run `python -m zprl.tasks.open_box.box_usd`"
    )
