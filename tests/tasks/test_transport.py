# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The transport task: what counts as success, in states that are placed by hand, and in worlds how it gets there."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from isaaclab.utils.math import matrix_from_quat

from .test_franka_panda import hand_pose

pytestmark = pytest.mark.sim

TASK = "Zprl-Transport-DualFranka"
WORLDS = 32
IN_TARGET, IN_TRASH = (-0.2, 0.45, -0.086), (0.2, 0.45, -0.082)
HOME = ((0.0, -0.4, 0.25), (0.0, 0.4, 0.25))
STILL = (0.0, 0.0, 0.0)


def succeeded(hammer=IN_TARGET, cube=IN_TRASH, hands=HOME, hammer_speed=STILL, cube_speed=STILL):
    """Return whether a world with these places [m], of the fingers' tips too, and velocities [m/s] is a success."""
    from zprl.tasks.transport.config.dual_franka.env_cfg import DualFrankaTransportEnvCfg

    def data(**fields):
        values = {name: SimpleNamespace(torch=torch.tensor(value)) for name, value in fields.items()}
        return SimpleNamespace(data=SimpleNamespace(**values))

    class Scene(dict):
        env_origins = torch.zeros(1, 3)

    def thing(place, speed):
        return data(root_pos_w=[place], root_lin_vel_w=[speed], root_quat_w=[[0.0, 0.0, 0.0, 1.0]])

    down = [1.0, 0.0, 0.0, 0.0]
    above = [[x, y, z + 0.1034] for x, y, z in hands]
    scene = Scene(
        object=thing(hammer, hammer_speed),
        trash=thing(cube, cube_speed),
        robot=data(body_link_pos_w=[above], body_link_quat_w=[[down, down]]),
    )
    cfg: Any = DualFrankaTransportEnvCfg()
    params = dict(cfg.terminations.success.params)
    assert params.pop("asset_cfg").body_names == ["left_panda_hand", "right_panda_hand"]
    assert cfg.rewards.success.func is cfg.terminations.success.func
    world = SimpleNamespace(scene=scene, device="cpu", num_envs=1)
    entity = SimpleNamespace(name="robot", body_ids=[0, 1])
    return cfg.terminations.success.func(world, asset_cfg=entity, **params).item()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"hammer": (-0.33, 0.32, -0.10), "cube": (0.33, 0.58, -0.08)},  # in corners
        {"hammer_speed": (0.03, 0.0, -0.03), "cube_speed": (0.0, 0.04, 0.0)},
        {"hammer": (-0.2, 0.45, 0.0)},  # it leans against a wall
        {"hands": (HOME[0], (-0.2, 0.45, 0.05))},  # 13.6 cm above the hammer
    ],
)
def test_both_at_rest_where_they_belong_and_out_of_the_hands_is_success(state):
    assert succeeded(**state)


@pytest.mark.parametrize(
    "state",
    [
        {"hammer": (-0.2, 0.309, -0.086)},  # just short of each bin
        {"hammer": (-0.059, 0.45, -0.086)},
        {"cube": (0.341, 0.45, -0.082)},
        {"cube": (0.2, 0.591, -0.082)},
        {"hammer": (-0.2, 0.45, 0.009)},  # on the rim
        {"cube": (0.2, 0.45, 0.009)},
        {"hammer": (-0.2, 0.45, -0.103)},  # in the floor
        {"hammer": (0.2, -0.45, -0.086)},  # in the start bin
        {"hammer": (0.0, 0.0, 0.15)},  # at the hand-over
        {"cube": (-0.2, 0.45, -0.082)},  # the cube left where it was
        {"hammer": IN_TRASH, "cube": IN_TARGET},
        {"hammer_speed": (0.0, 0.0, -0.06)},  # thrown through
        {"cube_speed": (0.06, 0.0, 0.0)},
        {"hands": (HOME[0], (-0.2, 0.515, -0.086))},  # still in the right hand, at either end and above
        {"hands": (HOME[0], (-0.2, 0.34, -0.086))},
        {"hands": (HOME[0], (-0.2, 0.45, 0.04))},
        {"hands": ((-0.2, 0.42, -0.086), HOME[1])},  # in the left one
        {"hands": (HOME[0], (0.2, 0.45, -0.05))},
        {"hands": ((0.2, 0.45, -0.05), HOME[1])},
    ],
)
def test_anything_less_is_not(state):
    assert not succeeded(**state)


@pytest.fixture(scope="module")
def env():
    """Give noiseless worlds on the CPU, behind the protocol of the layers above."""
    from zprl.runs.session import TaskSession

    session = TaskSession(TASK, "cpu", ["env.observations.policy.enable_corruption=False"], num_envs=WORLDS)
    with session.launched(), session.isaaclab_environment() as env:
        yield env


@pytest.fixture(scope="module")
def episode(env):
    """Give what happens while the expert acts in each world's first episode, step by step up to the last one's end."""
    from zprl.tasks.experts import make_expert

    world = env.unwrapped
    env.reset(seed=0)
    expert = make_expert(TASK, world)
    things = {
        name: world.scene[asset].data for name, asset in (("hammer", "object"), ("cube", "trash"), ("lid", "lid"))
    }
    ended, success = torch.zeros(2, WORLDS, dtype=torch.bool)
    record = []
    for _ in range(world.max_episode_length):
        action = expert.act()
        now = {name: thing.root_pos_w.torch.clone() for name, thing in things.items()}
        now["hands"] = torch.stack([arm._ee_pos.clone() for arm in expert._arms])  # type: ignore[attr-defined]
        record.append({**now, "action": action, "running": ~ended})
        _, _, terminated, truncated, _ = world.step(action)
        success |= world.termination_manager.get_term("success") & ~ended
        assert not (world.termination_manager.get_term("non_finite_state") & ~ended).any()
        ended |= terminated | truncated
        expert.reset((terminated | truncated).nonzero()[:, 0])
        if ended.all():
            break
    return {name: torch.stack([now[name] for now in record]) for name in record[0]} | {"success": success}


def test_the_expert_succeeds(episode):
    # It succeeds in 200 of 200; if that were luck, at 98.5 %, fewer than 29 of 32 would be two chances in a thousand.
    assert episode["success"].sum() >= 29


def test_a_hand_lets_go_of_the_hammer_only_when_the_other_one_has_it(episode):
    there = episode["running"] & episode["success"]
    lifted = there & (episode["hammer"][:, :, 2] > 0.1)
    left, right = (
        lifted & (episode["action"][:, :, gripper] < 0) & ((episode["hammer"] - hand).norm(dim=2) < 0.11)
        for gripper, hand in zip((6, 13), episode["hands"].unbind(dim=1), strict=True)
    )
    worlds = episode["success"].nonzero()[:, 0].tolist()
    assert (left | right)[lifted].all()
    for world in worlds:
        by_left, by_right, by_both = (mask[:, world].nonzero()[:, 0] for mask in (left, right, left & right))
        assert by_left[0] < by_right[0] <= by_both[0] and by_both[-1] == by_left[-1] < by_right[-1]
        assert len(by_both) == by_both[-1] - by_both[0] + 1  # once, without a break


def test_both_arms_work_at_once(episode):
    moving = [episode["action"][:, :, arm : arm + 3].norm(dim=2) > 0.3 for arm in (0, 7)]
    together = (moving[0] & moving[1] & episode["running"]).sum(dim=0)
    assert together[episode["success"]].min() > 40


def test_nothing_passes_through_the_thin_walls(episode):
    """Whatever is below a bin's rim is over a table, and above the table's top."""
    for name, half_height in (("hammer", 0.015), ("cube", 0.02), ("lid", 0.005)):
        place = episode[name][episode["running"]]
        low = place[place[:, 2] < 0.0]
        assert len(low) > 1000 and low[:, 2].min() > -0.112 + half_height - 0.003
        assert ((low[:, 1].abs() - 0.45).abs() < 0.15).all()


def test_nobody_succeeds_by_doing_nothing_and_what_lies_is_still(env):
    world = env.unwrapped
    env.reset(seed=1)
    idle = env.spec.idle_action("cpu").expand(WORLDS, -1)
    things = [world.scene[name].data for name in ("object", "trash", "lid")]
    for _ in range(5):  # the hammer lies down on its head
        world.step(idle)
    start = [thing.root_pos_w.torch.clone() for thing in things]
    for _ in range(20):
        world.step(idle)
        assert not world.termination_manager.get_term("success").any()
        assert max(thing.root_lin_vel_w.torch.norm(dim=1).max() for thing in things) < 0.01
    for thing, place in zip(things, start, strict=True):
        assert (thing.root_pos_w.torch - place).norm(dim=1).max() < 1e-3


def test_the_contract_has_both_arms(env):
    spec = env.spec
    assert [str(feature) for feature in spec.group("policy").features] == [
        *("joint_pos[18]", "left_ee_pose[9]", "right_ee_pose[9]"),
        *("object_pose[9]", "object_in_left_ee_frame[3]", "object_in_right_ee_frame[3]"),
        *("trash_pose[9]", "trash_in_right_ee_frame[3]", "lid_pose[9]", "lid_in_left_ee_frame[3]"),
    ]
    assert [str(action) for action in spec.actions] == [
        *("left_arm_action[6]", "left_gripper_action[1]", "right_arm_action[6]", "right_gripper_action[1]")
    ]
    assert spec.idle_action().tolist() == [0.0] * 14
    assert spec.tracked == ("left_ee_pose", "right_ee_pose")


def test_each_tracked_end_effector_is_where_its_joints_put_it(env):
    robot = env.unwrapped.scene["robot"]
    positions = env.spec.positions(env.reset(seed=2))
    assert positions.shape == (WORLDS, 2, 3)
    for number, (side, base, forward) in enumerate((("left", -0.81, 1.0), ("right", 0.81, -1.0))):
        joints = [robot.joint_names.index(f"{side}_panda_joint{joint}") for joint in range(1, 8)]
        for row in (0, 7):
            hand = torch.tensor(hand_pose(robot.data.joint_pos.torch[row, joints].tolist()), dtype=torch.float)
            x, y, z = (hand @ torch.tensor([0.0, 0.0, 0.1034, 1.0]))[:3]
            expected = torch.stack([-forward * y, base + forward * x, z])  # turned by 90 or -90 degrees
            torch.testing.assert_close(positions[row, number], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [0, 1])
def test_a_command_moves_its_own_end_effector_along_the_robots_axis(env, side, axis):
    before = env.spec.positions(env.reset(seed=3))
    action = torch.zeros(WORLDS, 14)
    action[:, 7 * side + axis] = 0.5
    for _ in range(5):
        obs, *_ = env.unwrapped.step(action)
    moved = env.spec.positions(obs) - before
    along = moved[:, side, axis]
    assert along.min() > 0.03  # of 0.1 m commanded: the joints lag behind
    assert (moved[:, side].norm(dim=1) - along).max() < 0.01
    assert moved[:, 1 - side].norm(dim=1).max() < 2e-3


def test_an_error_of_the_hammers_pose_is_the_same_seen_from_either_hand(env):
    from zprl.robustness.disturbances import Draws, ObjectPoseError

    obs = env.reset(seed=3)["policy"]
    targets = env.unwrapped.cfg.disturbance_targets
    signal = ObjectPoseError().start(Draws(0, range(WORLDS), WORLDS, 10), env.spec, targets)
    places = env.spec.group("policy").slices()
    seen = signal.observe(obs)
    hammer = seen[:, places["object_pose"]][:, :3]
    shift = (hammer - obs[:, places["object_pose"]][:, :3]).norm(dim=1)
    torch.testing.assert_close(shift, torch.full((WORLDS,), 0.01), atol=1e-5, rtol=0)
    for side in ("left", "right"):
        pos, x, y = seen[:, places[f"{side}_ee_pose"]].split(3, dim=1)
        axes = torch.stack([x, y, torch.linalg.cross(x, y)], dim=2)
        there = pos + torch.einsum("nij,nj->ni", axes, seen[:, places[f"object_in_{side}_ee_frame"]])
        torch.testing.assert_close(there, hammer, atol=1e-4, rtol=0)


def test_the_hands_stop_at_each_other(env):
    """Two closed hands are driven towards each other, above everything else."""
    world = env.unwrapped
    env.reset(seed=4)
    robot = world.scene["robot"]
    hands = [robot.body_names.index(f"{side}_panda_hand") for side in ("left", "right")]
    towards = torch.zeros(WORLDS, 14)
    towards[:, [1, 8]] = torch.tensor([0.6, -0.6])  # along y
    towards[:, [6, 13]] = -1.0
    left = right = torch.zeros(WORLDS, 3)
    for _ in range(45):
        world.step(towards)
        left, right = robot.data.body_link_pos_w.torch[:, hands].unbind(dim=1)
        down = matrix_from_quat(robot.data.body_link_quat_w.torch[:, hands])[..., 2, 2]
        assert (right - left)[:, 1].min() > 0.02 and down.max() < 0.0
    assert (right - left).norm(dim=1).max() < 0.15  # they have met


@pytest.mark.parametrize("asset", ["object", "trash", "lid"])
def test_what_falls_off_a_table_ends_its_episode_alone(env, asset):
    world = env.unwrapped
    env.reset(seed=5)
    thing = world.scene[asset]
    pose = thing.data.root_pose_w.torch.clone()
    pose[5, :3] = torch.tensor([0.0, 0.0, -0.19])  # in the gap, falling
    thing.write_root_pose_to_sim_index(root_pose=pose)
    idle = env.spec.idle_action("cpu").expand(WORLDS, -1)
    ended = torch.zeros(WORLDS, dtype=torch.long)
    for _ in range(3):
        _, _, terminated, truncated, _ = world.step(idle)
        assert not truncated.any()
        ended += terminated
    assert ended.nonzero().flatten().tolist() == [5] and ended[5] == 1


def test_every_preset_of_the_events_knows_both_arms():
    from isaaclab.utils import validate

    from zprl.tasks.transport.config.dual_franka.env_cfg import DualFrankaTransportEnvCfg

    cfg = DualFrankaTransportEnvCfg()
    assert validate(cfg) == []
    joints, fingers = ([f"{side}_panda_{part}" for side in ("left", "right")] for part in ("joint.*", ".*finger"))
    for name in ("default", "randomize_none", "randomize_train", "randomize_heavy"):
        events = getattr(cfg.events, name)
        assert events.reset_robot.params["asset_cfg"].joint_names == joints
        assert hasattr(events, "arm_gains") == (name in ("randomize_train", "randomize_heavy"))
        if hasattr(events, "arm_gains"):
            assert events.arm_gains.params["asset_cfg"].joint_names == joints
            assert events.finger_friction.params["asset_cfg"].body_names == fingers
