# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The flip-egg task: what is success in states that are placed by hand, and in worlds what holds and what moves."""

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from isaaclab.utils.math import quat_apply, quat_from_angle_axis, quat_mul

from zprl.utils.errors import ZprlError

from .conftest import share_that_succeeds

pytestmark = pytest.mark.sim

TASK = "Zprl-FlipEgg-Franka"
WORLDS = 16
PAN = (0.5, 0.15, 0.12)
HOME = (0.5, -0.07, 0.25)


def about(axis, angle):
    """Return a turn about an axis by an angle [rad], a quaternion (x, y, z, w)."""
    return torch.tensor([*(math.sin(angle / 2) * component for component in axis), math.cos(angle / 2)])


FLIPPED = about((1.0, 0.0, 0.0), math.pi)


class Placed:
    """The success term, asked about one world with an egg as it is placed.

    Args:
        turn: Orientation of the egg's middle plate, a quaternion.
        place: Its place from the middle of the pan's floor [m].
        bends: Angles of the left and the right plate on their hinges [rad].
        speed: Of the left plate [m/s].
        spin: Of the right plate [rad/s].
        blade: Middle of the blade [m].
        size: Edge length of the egg [m].
    """

    def __init__(
        self, turn=FLIPPED, place=(0.0, 0.0, 0.004), bends=(0.0, 0.0), speed=0.0, spin=0.0, blade=HOME, size=0.09
    ):
        from zprl.tasks.flip_egg.config.franka.env_cfg import FrankaFlipEggEnvCfg

        middle = torch.tensor(PAN) + torch.tensor(place)
        hinges = [middle + quat_apply(turn, torch.tensor([side * size / 6, 0.0, 0.0])) for side in (-1, 1)]
        turns = [turn, *(quat_mul(turn, about((0.0, 1.0, 0.0), bend)) for bend in bends)]

        def data(**fields):
            values = {name: SimpleNamespace(torch=value[None]) for name, value in fields.items()}
            return SimpleNamespace(data=SimpleNamespace(**values))

        class Scene(dict):
            env_origins = torch.zeros(1, 3)

        still = torch.zeros(3, 3)
        moving, spinning = still.clone(), still.clone()
        moving[1, 0], spinning[2, 1] = speed, spin
        scene = Scene(
            object=data(
                body_link_pos_w=torch.stack([middle, *hinges]),
                body_link_quat_w=torch.stack(turns),
                body_link_lin_vel_w=moving,
                body_link_ang_vel_w=spinning,
            ),
            robot=data(body_link_pos_w=torch.tensor([blade]), body_link_quat_w=torch.tensor([[1.0, 0.0, 0.0, 0.0]])),
        )
        cfg: Any = FrankaFlipEggEnvCfg()
        term = cfg.terminations.success
        assert cfg.rewards.success.func is term.func
        self._params = {**term.params, "size": size, "asset_cfg": SimpleNamespace(name="robot", body_ids=[0])}
        self._world: Any = SimpleNamespace(scene=scene, device="cpu", num_envs=1, step_dt=0.1)
        self._term = term.func(None, self._world)

    def steps(self, count):
        """Return what the term says in so many control steps."""
        return [self._term(self._world, **self._params).item() for _ in range(count)]

    def reset(self):
        self._term.reset()

    @property
    def succeeds(self):
        return self.steps(5)[-1]


def test_an_egg_that_has_lain_upside_down_for_half_a_second_is_success():
    egg = Placed()
    assert egg.steps(6) == [False] * 4 + [True] * 2
    egg.reset()
    assert egg.steps(5) == [False] * 4 + [True]


@pytest.mark.parametrize(
    "state",
    [
        {"turn": quat_mul(about((0.0, 0.0, 1.0), 2.0), FLIPPED)},
        {"turn": about((0.0, 1.0, 0.0), math.pi)},  # turned over about its hinges' axis
        {"turn": about((1.0, 0.0, 0.0), math.pi - 0.44)},  # leaning a little: cos 0.44 = 0.905
        {"bends": (0.44, -0.44), "place": (0.0, 0.0, 0.01)},
        # A corner is 45 mm from the middle along x and along y, and the rim's radius is 130 + 25 / tan 70 = 139.1 mm.
        {"place": (0.086, 0.0, 0.004)},
        {"place": (0.0, 0.0, 0.0), "size": 0.11},
        {"speed": 0.049, "spin": 0.49},
        {"blade": (0.5, 0.15 - 0.1205, 0.124)},
    ],
)
def test_wherever_it_lies_in_the_pan(state):
    assert Placed(**state).succeeds


@pytest.mark.parametrize(
    "state",
    [
        {"turn": about((1.0, 0.0, 0.0), 0.0)},
        {"turn": about((1.0, 0.0, 0.0), math.pi / 2), "place": (0.0, 0.0, 0.045)},  # on its edge
        {"turn": about((1.0, 0.0, 0.0), math.pi - 0.47)},  # cos 0.47 = 0.892
        {"bends": (0.47, 0.0), "place": (0.0, 0.0, 0.01)},  # folded on either side
        {"bends": (0.0, -0.47), "place": (0.0, 0.0, 0.01)},
        {"place": (0.088, 0.0, 0.004)},  # over the rim, in each direction
        {"place": (-0.088, 0.0, 0.004)},
        {"place": (0.0, -0.088, 0.004)},
        {"place": (0.0, 0.0, 0.026)},  # held above the pan
        {"place": (0.0, 0.0, 0.004), "size": 0.2},  # as wide as the pan
        {"place": (0.3, 0.0, -0.116)},  # on the table
        {"speed": 0.051},
        {"spin": 0.51},
        {"blade": (0.5, 0.15 - 0.1195, 0.124)},  # the blade beside it, below it and on it
        {"blade": (0.5, 0.15, 0.1185)},
        {"blade": (0.46, 0.18, 0.13)},
    ],
)
def test_anything_less_is_not(state):
    assert not any(Placed(**state).steps(8))


@pytest.fixture(scope="module")
def env():
    """Give noiseless worlds on the CPU, behind the protocol of the layers above."""
    from zprl.runs.session import TaskSession

    session = TaskSession(TASK, "cpu", ["env.observations.policy.enable_corruption=False"], num_envs=WORLDS)
    with session.launched(), session.environment() as env:
        yield env


@pytest.fixture
def world(env):
    """Give the environment of Isaac Lab, reset with seed 0."""
    env.reset(seed=0)
    return env.unwrapped


IDLE = torch.zeros(WORLDS, 6)


def test_the_expert_succeeds(world):
    # It succeeds in 97 % and more of 200 episodes; of 16, fewer than 12 would be two chances in a hundred thousand.
    assert share_that_succeeds(world, TASK) >= 0.75


def test_an_untouched_egg_neither_jitters_nor_creeps(world):
    """Five seconds at rest, seen in every control step."""
    egg = world.scene["object"].data
    start = egg.root_pose_w.torch.clone()
    # Any yaw, within 2 cm of the pan's middle.
    assert (start[:, :2] - torch.tensor(PAN[:2])).abs().max() <= 0.02 and start[:, :2].std(dim=0).min() > 0.005
    assert (2 * torch.atan2(start[:, 5], start[:, 6])).cos().std() > 0.4
    for _ in range(50):
        world.step(IDLE)
        assert not world.termination_manager.get_term("success").any()
        assert egg.body_link_lin_vel_w.torch.norm(dim=2).max() < 0.01
        assert egg.joint_vel.torch.abs().max() < 0.2
    assert egg.body_link_lin_vel_w.torch.norm(dim=2).max() < 1e-3
    end = egg.root_pose_w.torch
    assert (end[:, :3] - start[:, :3]).norm(dim=1).max() < 5e-4
    assert (end[:, 3:] * start[:, 3:]).sum(dim=1).abs().min() > math.cos(0.005 / 2)
    assert egg.joint_pos.torch.abs().max() < 0.01


def energy(egg):
    """Return the energy of each egg [J] from the speeds of its three plates, of 20 g each, their heights and bends."""
    mass, (x, y, z) = 0.02, (0.03, 0.09, 0.008)
    inertia = mass / 12 * torch.tensor([y * y + z * z, x * x + z * z, x * x + y * y])
    quat, pos = egg.body_com_quat_w.torch, egg.body_com_pos_w.torch
    inverse = quat * torch.tensor([-1.0, -1.0, -1.0, 1.0])
    turning = quat_apply(inverse, egg.body_com_ang_vel_w.torch)
    kinetic = mass * egg.body_com_lin_vel_w.torch.square().sum(dim=2) + (inertia * turning.square()).sum(dim=2)
    bending = 0.02 * egg.joint_pos.torch.square().sum(dim=1)
    return kinetic.sum(dim=1) / 2 + 9.81 * mass * pos[..., 2].sum(dim=1) + bending / 2


def put(world, place, turn, bend=0.0):
    """Put the eggs at rest somewhere in or above the pan [m], in one orientation or each in its own."""
    egg = world.scene["object"]
    middle = torch.tensor(PAN) + torch.tensor(place)
    pose = torch.cat([middle.expand(WORLDS, 3), turn.expand(WORLDS, 4)], dim=1)
    egg.write_joint_state_to_sim_index(position=torch.full((WORLDS, 2), bend), velocity=torch.zeros(WORLDS, 2))
    egg.write_root_velocity_to_sim_index(root_velocity=torch.zeros(WORLDS, 6))
    egg.write_root_pose_to_sim_index(root_pose=pose)
    return egg.data


def test_a_falling_egg_gains_no_energy_and_stays_above_the_floor(world):
    """Dropped from 10 cm, bent and tilted in each world by more, into the pan: nothing makes it jump."""
    tilts = torch.stack([about((1.0, 0.0, 0.0), 0.05 * row) for row in range(WORLDS)])
    egg = put(world, (0.0, 0.0, 0.1), tilts, bend=0.2)
    before = start = energy(egg)
    for _ in range(25):
        world.step(IDLE)
        now = energy(egg)
        assert (now - before).max() < 1e-4  # of 0.06 J that it falls
        # At 1.4 m/s it sinks in, but by less than half of its 8 mm, beyond which it would be pushed out below.
        assert egg.body_link_pos_w.torch[..., 2].min() > PAN[2] + 0.001
        before = now
    assert (start - before).min() > 0.04
    assert egg.body_link_pos_w.torch[..., 2].min() > PAN[2] + 0.0035
    assert egg.body_link_lin_vel_w.torch.norm(dim=2).max() < 0.01


def test_the_thin_blade_stays_above_the_floor_and_the_egg_between_them(world):
    """The blade, whose front edge is 1.5 mm thin, is pressed down as hard as the arm can, on egg, rim or pan."""
    put(world, (0.05, -0.05, 0.004), about((0.0, 0.0, 1.0), 0.4))
    robot, egg = world.scene["robot"].data, world.scene["object"].data
    body = world.scene["robot"].body_names.index("panda_spatula")
    corners = torch.tensor([[0.045, -0.04, 0.0015], [0.045, 0.04, 0.0015]])
    down = IDLE.clone()
    down[:, 1], down[:, 2] = 0.4, -0.6
    heights = []
    for step in range(20):
        down[:, 1] = 0.4 if step < 6 else 0.0
        world.step(down)
        tip = robot.body_link_pos_w.torch[:, body, None] + quat_apply(
            robot.body_link_quat_w.torch[:, [body]].expand(-1, 2, -1), corners.expand(WORLDS, -1, -1)
        )
        above = ((tip[..., :2] - torch.tensor(PAN[:2])).abs() < 0.18).all(dim=2)  # the hob, and not beside it
        heights.append(torch.where(above, tip[..., 2], 1.0).amin(dim=1) - PAN[2])
        assert egg.body_link_pos_w.torch[..., 2].min() > PAN[2] + 0.002
    reached = torch.stack(heights).amin(dim=0)
    assert reached.min() > -0.002 and (reached < 0.005).sum() >= WORLDS - 4  # it has come down


def test_what_falls_off_the_table_ends_its_episode_alone(world):
    egg = world.scene["object"]
    pose = egg.data.root_pose_w.torch.clone()
    pose[5, :3] = torch.tensor([1.5, 0.0, -0.19])  # beside the table, falling
    egg.write_root_pose_to_sim_index(root_pose=pose)
    ended = torch.zeros(WORLDS, dtype=torch.long)
    for _ in range(3):
        _, _, terminated, truncated, _ = world.step(IDLE)
        assert not truncated.any()
        ended += terminated
    assert ended.nonzero().flatten().tolist() == [5] and ended[5] == 1


def arm_of(world):
    """Return the action term of the arm and the pose that its end effector has."""
    term = world.action_manager.get_term("arm_action")
    pos, quat = term._compute_frame_pose()
    return term, pos.clone(), quat.clone()


def test_an_action_is_added_to_the_previous_target_and_not_to_what_was_reached(world):
    term, pos, quat = arm_of(world)
    action = IDLE.clone()
    action[:, 0], action[:, 2], action[:, 5] = 0.3, 0.2, 0.5  # 15 mm along x, 10 mm up, 0.2 rad about z
    for count in (1, 2, 3):  # without a physics step in between: nothing is reached
        term.process_actions(action)
        target, turned = term.reference_pose()
        torch.testing.assert_close(target, pos + count * torch.tensor([0.015, 0.0, 0.01]), atol=1e-6, rtol=0)
        expected = quat_mul(about((0.0, 0.0, 1.0), 0.2 * count).expand(WORLDS, 4), quat)
        assert (turned * expected).sum(dim=1).abs().min() > 1 - 1e-6
    term.process_actions(IDLE)
    held, _ = term.reference_pose()
    torch.testing.assert_close(held, target, atol=1e-6, rtol=0)


def test_the_arm_goes_where_its_actions_add_up_to(world):
    """However it lagged behind meanwhile: 6 cm to the left, 3 cm up, and the blade rolled by 0.6 rad."""
    _, pos, quat = arm_of(world)
    action = IDLE.clone()
    action[:, 1], action[:, 2], action[:, 4] = 0.4, 0.2, 0.5
    for step in range(20):
        world.step(action if step < 3 else IDLE)
    _, reached, turned = arm_of(world)
    torch.testing.assert_close(reached - pos, torch.tensor([0.0, 0.06, 0.03]).expand(WORLDS, 3), atol=1e-3, rtol=0)
    turn = torch.tensor([[0.0, 0.6, 0.0]]).expand(WORLDS, 3)
    expected = quat_mul(quat_from_angle_axis(turn.norm(dim=1), turn), quat)
    assert (turned * expected).sum(dim=1).abs().min() > math.cos(0.01 / 2)


def test_a_target_stays_near_what_follows_it(world):
    term, pos, quat = arm_of(world)
    action = IDLE.clone()
    action[:, 0], action[:, 3] = -1.0, 1.0
    for _ in range(20):
        term.process_actions(action)
    target, turned = term.reference_pose()
    torch.testing.assert_close(target, pos - torch.tensor([0.12, 0.0, 0.0]), atol=1e-5, rtol=0)
    expected = quat_mul(about((1.0, 0.0, 0.0), 1.0).expand(WORLDS, 4), quat)
    assert (turned * expected).sum(dim=1).abs().min() > 1 - 1e-5


def test_only_the_plain_solution_is_offered_for_targets(world):
    term, _, _ = arm_of(world)
    cfg = copy.deepcopy(term.cfg)
    cfg.controller.ik_method = "pinv"
    with pytest.raises(ZprlError, match=r"solves by plain damped least squares; configure its controller with"):
        type(term)(cfg, world)


def test_a_reset_forgets_the_target_of_its_own_world(world):
    term, pos, _ = arm_of(world)
    action = IDLE.clone()
    action[:, 0] = 1.0
    term.process_actions(action)
    term.reset(torch.tensor([3]))
    robot = world.scene["robot"]
    joints = robot.data.joint_pos.torch.clone()
    joints[3, 0] += 0.2  # put elsewhere after the reset
    robot.write_joint_state_to_sim_index(position=joints, velocity=torch.zeros_like(joints))
    world.sim.forward()
    world.scene.update(0.0)
    _, there, _ = arm_of(world)
    assert (there - pos)[3].norm() > 0.05
    term.process_actions(action)
    target, _ = term.reference_pose()
    others = [row for row in range(WORLDS) if row != 3]
    step = torch.tensor([0.05, 0.0, 0.0])
    torch.testing.assert_close(target[3], there[3] + step, atol=1e-5, rtol=0)
    torch.testing.assert_close(target[others], pos[others] + 2 * step, atol=1e-5, rtol=0)


def test_the_first_action_of_the_next_episode_starts_from_there(env):
    """An environment resets within a step; what the arm strove for before is gone."""
    world = env.unwrapped
    env.reset(seed=3)
    action = IDLE.clone()
    action[:, 2] = 0.5
    for _ in range(3):
        world.step(action)
    env.reset_to(range(WORLDS))
    term, pos, _ = arm_of(world)
    term.process_actions(IDLE)
    target, _ = term.reference_pose()
    torch.testing.assert_close(target, pos, atol=1e-6, rtol=0)


def test_the_contract_says_so(env):
    spec = env.spec
    assert [str(feature) for feature in spec.group("policy").features] == [
        *("joint_pos[7]", "ee_pose[9]", "object_pose[9]", "object_in_ee_frame[3]", "object_bend[2]")
    ]
    assert [str(action) for action in spec.actions] == ["arm_action[6]"]
    assert spec.idle_action().tolist() == [0.0] * 6
    assert (spec.step_dt, env.max_episode_length, spec.tracked) == (pytest.approx(0.1), 150, ("ee_pose",))
    told = env.describe().actions["arm_action"]
    assert told.elements == ["dx", "dy", "dz", "rx", "ry", "rz"] and told.units == ["m"] * 3 + ["rad"] * 3
    assert told.scale == [0.05] * 3 + [0.4] * 3
    assert "added to the previous target and not to where it is" in told.text
    assert "an episode's first one is added to where it is then" in told.text
    assert "more than 0.12 m or 1 rad ahead" in told.text


def test_a_robot_without_a_gripper_has_what_a_disturbance_changes(env):
    """The blade is what touches the egg, and every preset of the events knows it."""
    targets = env.unwrapped.cfg.disturbance_targets
    assert targets.fingers == {"robot": ["panda_spatula"]} and targets.arm_joints == {"robot": ["panda_joint.*"]}

    from isaaclab.utils import validate

    from zprl.tasks.flip_egg.config.franka.env_cfg import FrankaFlipEggEnvCfg

    cfg = FrankaFlipEggEnvCfg()
    assert validate(cfg) == []
    for name in ("default", "randomize_none", "randomize_train", "randomize_heavy"):
        events = getattr(cfg.events, name)
        assert events.reset_robot.params["asset_cfg"].joint_names == ["panda_joint.*"]
        if name in ("randomize_train", "randomize_heavy"):
            assert events.finger_friction.params["asset_cfg"].body_names == ["panda_spatula"]


def test_without_a_fixture_every_disturbed_egg_is_kicked_once(env):
    from zprl.robustness.catalogue import disturbances_of
    from zprl.robustness.disturbances import Draws

    own = disturbances_of(TASK)
    assert list(own) == ["disturbance", "small_egg", "large_egg", "friction_variation"]
    targets = env.unwrapped.cfg.disturbance_targets
    signal = own["disturbance"].start(Draws(0, range(WORLDS), WORLDS, 150), env.spec, targets)
    env.reset_to(range(WORLDS))
    egg = env.unwrapped.scene["object"].data
    kicks = torch.zeros(150, WORLDS)
    for step in range(110):
        before = egg.root_vel_w.torch.clone()
        signal.disturb(env)
        kicks[step] = (egg.root_vel_w.torch - before)[:, :2].norm(dim=1)
        if kicks[step].any():
            env.step(IDLE)
    hit = kicks > 0
    assert hit.sum(dim=0).tolist() == [1] * WORLDS and not hit[:50].any() and not hit[100:].any()
    sizes = kicks.amax(dim=0)
    assert sizes.min() >= 0.2 - 1e-6 and sizes.max() <= 0.4 + 1e-6 and sizes.std() > 0.02


def test_files_are_what_the_generators_write(tmp_path):
    from zprl.tasks.flip_egg.egg_usd import write_egg
    from zprl.tasks.flip_egg.flip_egg_env_cfg import EGG_USD
    from zprl.tasks.robots.assets import FRANKA_SPATULA_USD
    from zprl.tasks.robots.assets.franka_spatula import write_franka_spatula

    assert write_egg(tmp_path / "egg.usda").read_text() == EGG_USD.read_text(), (
        "run `python -m zprl.tasks.flip_egg.egg_usd`"
    )
    assert write_franka_spatula(tmp_path / "robot.usda").read_text() == FRANKA_SPATULA_USD.read_text(), (
        "run `python -m zprl.tasks.robots.assets.franka_spatula`"
    )


def test_the_blade_is_where_the_drawing_has_it(world):
    """In the frame of the flange: on its axis, 0.25 m of handle and half a blade of 0.09 m, bent by 10 degrees."""
    robot = world.scene["robot"]
    last, blade = (robot.body_names.index(name) for name in ("panda_link7", "panda_spatula"))
    pos, quat = robot.data.body_link_pos_w.torch[0], robot.data.body_link_quat_w.torch[0]
    axes = [quat_apply(quat[blade], torch.eye(3)[i]) for i in range(3)]
    flange = pos[last] + quat_apply(quat[last], torch.tensor([0.0, 0.0, 0.107]))
    bend = math.radians(10.0)
    rear = pos[blade] - 0.045 * axes[0]
    handle = math.cos(bend) * axes[0] + math.sin(bend) * axes[2]  # z is out of the underside, so the handle comes down
    torch.testing.assert_close(rear - 0.25 * handle, flange, atol=1e-5, rtol=0)
    torch.testing.assert_close(quat_apply(quat[last], torch.tensor([0.0, 0.0, 1.0])), handle, atol=1e-5, rtol=0)
    assert axes[0][1] > 0.8 and axes[2][2] < -0.8  # episodes begin with it pointing to the left and its underside down


def test_another_egg_is_wider_and_so_is_what_counts(env):
    from zprl.robustness.catalogue import disturbances_of
    from zprl.sim.isaaclab import resolve_task

    own = disturbances_of(TASK)
    for disturbance, edge in ((own["small_egg"], 0.072), (own["large_egg"], 0.1125)):
        cfg, _ = resolve_task(TASK, None, [])
        disturbance.configure(cfg)
        assert cfg.terminations.success.params["size"] == cfg.rewards.success.params["size"] == pytest.approx(edge)
        assert corners_of(cfg.scene.object.spawn.usd_path) == pytest.approx((edge / 2, edge / 2), abs=1e-6)
    usual, _ = resolve_task(TASK, None, [])
    own["large_egg"].with_strength(0.0).configure(usual)
    assert corners_of(usual.scene.object.spawn.usd_path) == pytest.approx((0.045, 0.045), abs=1e-6)
    with pytest.raises(ZprlError, match=r"differs by 0\.8 of the usual is none"):
        own["small_egg"].with_strength(0.8).configure(cfg)


def corners_of(path):
    """Return how far an egg's shapes reach along x and y [m]."""
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(path)
    cache = UsdGeom.BBoxCache(Usd.TimeCode.Default(), ["default"])
    x, y, _ = cache.ComputeWorldBound(stage.GetDefaultPrim()).ComputeAlignedRange().GetMax()  # type: ignore[union-attr]
    return x, y


def test_no_variation_is_the_usual_friction():
    from zprl.robustness.catalogue import disturbances_of

    variation: Any = disturbances_of(TASK)["friction_variation"]
    params = {
        scale: variation.with_strength(scale).events(None)["egg_friction"].params["static_friction_range"]
        for scale in (0.0, 1.0)
    }
    assert params[0.0] == (0.4, 0.4) and params[1.0] == pytest.approx((0.25, 0.6))
