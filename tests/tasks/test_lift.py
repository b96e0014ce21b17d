# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the lift task observes, commands, randomises, rewards and ends."""

import contextlib
import json
from typing import Any

import pytest
import torch

from isaaclab.utils.math import matrix_from_quat

from zprl.sim.isaaclab.task_env import read_spec
from zprl.spec import Group, TaskSpec

from .conftest import TASK, idle

pytestmark = pytest.mark.sim

TERMS = {"joint_pos": 9, "ee_pose": 9, "object_pose": 9, "object_in_ee_frame": 3}
CONTROL_PERIOD = 0.05
MAX_STEPS = 80


def observe(env):
    """Return {term: values of shape (num_envs, dim)}."""
    values = env.observation_manager.compute()["policy"]
    return dict(zip(TERMS, values.split(list(TERMS.values()), dim=1), strict=True))


def place_object(env, pos):
    """Put the cube somewhere, upright and at rest, in every world."""
    pose = torch.tensor([[*pos, 0.0, 0.0, 0.0, 1.0]]).repeat(env.num_envs, 1)
    pose[:, :3] += env.scene.env_origins
    cube = env.scene["object"]
    cube.write_root_pose_to_sim_index(root_pose=pose)
    cube.write_root_velocity_to_sim_index(root_velocity=torch.zeros(env.num_envs, 6))
    env.sim.forward()
    env.scene.update(0.0)


def test_layout(lift_env):
    manager = lift_env.observation_manager
    assert manager.active_terms["policy"] == list(TERMS)
    assert [shape[0] for shape in manager.group_obs_term_dim["policy"]] == list(TERMS.values())
    assert lift_env.action_manager.total_action_dim == 7
    assert lift_env.step_dt == pytest.approx(CONTROL_PERIOD)
    assert lift_env.max_episode_length == MAX_STEPS


def test_spec(lift_env):
    """What policies are told of it is what its managers do."""
    spec = read_spec(TASK, lift_env)
    assert spec.groups == (Group.vector("policy", TERMS.items()),)
    assert spec.step_dt == pytest.approx(CONTROL_PERIOD)
    assert spec.tracked == ("ee_pose",)
    assert [(term.name, term.size) for term in spec.actions] == [("arm_action", 6), ("gripper_action", 1)]
    low, high = spec.action_limits()
    assert (low.tolist(), high.tolist()) == ([-1.0] * 7, [1.0] * 7)
    assert TaskSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    obs = lift_env.reset(seed=0)[0]
    assert {name: tuple(value.shape[1:]) for name, value in obs.items()} == {g.name: g.shape for g in spec.groups}
    torch.testing.assert_close(spec.positions(obs), observe(lift_env)["ee_pose"][:, None, :3])


def test_idle_action_keeps_the_robot_as_it_is(fresh_env):
    action = read_spec(TASK, fresh_env).idle_action().repeat(fresh_env.num_envs, 1)
    for _ in range(10):
        fresh_env.step(action)  # the arm settles under its weight
    before = observe(fresh_env)
    for _ in range(10):
        fresh_env.step(action)
    after = observe(fresh_env)
    assert (after["ee_pose"][:, :3] - before["ee_pose"][:, :3]).abs().max() < 2e-3
    torch.testing.assert_close(after["joint_pos"][:, 7:], before["joint_pos"][:, 7:], atol=1e-4, rtol=0.0)


def test_observed_values(fresh_env):
    place_object(fresh_env, (0.5, 0.1, 0.0275))
    obs = observe(fresh_env)
    robot = fresh_env.scene["robot"].data
    torch.testing.assert_close(obs["joint_pos"], robot.joint_pos.torch - robot.default_joint_pos.torch)
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])  # the first two columns of the unit matrix
    torch.testing.assert_close(obs["object_pose"][0], torch.cat([torch.tensor([0.5, 0.1, 0.0275]), upright]))
    # The last term follows from the two before it: R^T (object - end effector).
    pos, x, y = obs["ee_pose"].split(3, dim=1)
    rotation = torch.stack([x, y, torch.linalg.cross(x, y)], dim=2)
    offset = (obs["object_pose"][:, :3] - pos)[:, :, None]
    torch.testing.assert_close(obs["object_in_ee_frame"], (rotation.mT @ offset)[:, :, 0], atol=1e-5, rtol=0)


def test_inverse_kinematics_runs_once_per_control_step(fresh_env, monkeypatch):
    term = fresh_env.action_manager.get_term("arm_action")
    calls = []
    columns = term._jacobian.columns
    monkeypatch.setattr(term._jacobian, "columns", lambda: calls.append(None) or columns())
    for _ in range(3):
        fresh_env.step(idle(fresh_env))
    assert len(calls) == 3


def test_jacobian_is_the_engines(fresh_env):
    """In postures all over the joints' ranges, against the engine's Jacobian of the hand, moved to the grasp centre."""
    robot = fresh_env.scene["robot"]
    limits = robot.data.soft_joint_pos_limits.torch
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(fresh_env.num_envs, 9, generator=generator)
    robot.write_joint_position_to_sim_index(position=limits[..., 0] + share * (limits[..., 1] - limits[..., 0]))
    fresh_env.sim.forward()
    fresh_env.scene.update(0.0)
    term = fresh_env.action_manager.get_term("arm_action")
    hand = robot.data.body_link_jacobian_w.torch[:, term._jacobi_body_idx, :, :7]
    rotation = matrix_from_quat(robot.data.body_quat_w.torch[:, term._body_idx])
    lever = rotation @ torch.tensor([0.0, 0.0, 0.1034])
    linear = hand[:, :3] + torch.linalg.cross(hand[:, 3:], lever[:, :, None], dim=1)
    torch.testing.assert_close(  # the robot's root stands upright in the world's frame
        term._compute_frame_jacobian(), torch.cat([linear, hand[:, 3:]], dim=1), atol=2e-5, rtol=0
    )


def test_joint_targets_are_those_of_isaac_labs_controller(fresh_env, monkeypatch):
    """Which other methods than damped least squares still go through."""
    action = 2 * torch.rand(fresh_env.num_envs, 6, generator=torch.Generator().manual_seed(0)) - 1
    for _ in range(5):
        fresh_env.step(idle(fresh_env))
    term = fresh_env.action_manager.get_term("arm_action")
    term.process_actions(action)
    targets, processed = term._joint_pos_target.clone(), term.processed_actions.clone()
    monkeypatch.setattr(term, "_damping", None)
    term.process_actions(action)
    torch.testing.assert_close(term.processed_actions, processed)
    torch.testing.assert_close(targets, term._joint_pos_target, atol=2e-5, rtol=0)
    assert (targets - fresh_env.scene["robot"].data.joint_pos.torch[:, :7]).abs().max() > 0.05


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_delta_commands_move_the_end_effector_along_their_axis(fresh_env, axis, sign):
    for _ in range(5):
        fresh_env.step(idle(fresh_env))
    before = observe(fresh_env)["ee_pose"][:, :3]
    action = idle(fresh_env)
    action[:, axis] = 0.5 * sign
    for _ in range(4):
        fresh_env.step(action)
    moved = observe(fresh_env)["ee_pose"][:, :3] - before
    share = moved[:, axis] * sign / (4 * 0.5 * 0.04)
    # Each command starts from where the arm is, not from the last target, so the drives' lag costs part of the way.
    assert ((share > 0.3) & (share < 1.0)).all()
    assert moved[:, [i for i in range(3) if i != axis]].abs().max() < 0.01


def test_single_command_reaches_its_target(fresh_env):
    for _ in range(5):
        fresh_env.step(idle(fresh_env))
    term = fresh_env.action_manager.get_term("arm_action")
    before = observe(fresh_env)["ee_pose"][:, :3]
    action = idle(fresh_env)
    action[:, :3] = torch.tensor([0.4, -0.3, 0.2])
    term.process_actions(action[:, :6])
    for _ in range(40):  # hold the joint targets of this one command
        term.apply_actions()
        fresh_env.scene.write_data_to_sim()
        fresh_env.sim.step(render=False)
        fresh_env.scene.update(fresh_env.physics_dt)
    moved = observe(fresh_env)["ee_pose"][:, :3] - before
    torch.testing.assert_close(moved, (action[:, :3] * 0.04).expand_as(moved), atol=2e-3, rtol=0)


def test_raw_actions_are_clipped(fresh_env):
    term = fresh_env.action_manager.get_term("arm_action")
    action = torch.full((fresh_env.num_envs, 6), 7.0)
    term.process_actions(action)
    assert term.processed_actions.abs().max() <= 0.2 + 1e-6


def test_reset_stays_in_its_ranges_and_fills_them(lift_env):
    positions, yaws, joints = [], [], []
    from isaaclab.utils.math import euler_xyz_from_quat, wrap_to_pi

    for seed in range(4):
        lift_env.reset(seed=seed)
        cube, robot = lift_env.scene["object"].data, lift_env.scene["robot"].data
        positions.append(cube.root_pos_w.torch - lift_env.scene.env_origins)
        yaws.append(wrap_to_pi(euler_xyz_from_quat(cube.root_quat_w.torch)[2]))
        joints.append((robot.joint_pos.torch - robot.default_joint_pos.torch)[:, :7])
        torch.testing.assert_close(robot.joint_pos.torch[:, 7:], torch.full((lift_env.num_envs, 2), 0.04))
        assert not robot.joint_vel.torch.any()
    for values, low, high in (
        (torch.cat(positions)[:, 0], 0.42, 0.58),
        (torch.cat(positions)[:, 1], -0.16, 0.16),
        (torch.cat(yaws), -0.78, 0.78),
        (torch.cat(joints).flatten(), -0.05, 0.05),
    ):
        margin = 0.1 * (high - low)
        assert values.min() >= low - 1e-5 and values.max() <= high + 1e-5
        assert values.min() < low + margin and values.max() > high - margin
    torch.testing.assert_close(torch.cat(positions)[:, 2], torch.full((4 * lift_env.num_envs,), 0.0275))


def test_same_seed_same_initial_state(lift_env):
    first = lift_env.reset(seed=5)[0]["policy"].clone()
    lift_env.step(idle(lift_env))
    assert torch.equal(lift_env.reset(seed=5)[0]["policy"], first)


def test_success_ends_the_episode_and_is_worth_one(fresh_env):
    _, reward, terminated, truncated, _ = fresh_env.step(idle(fresh_env))
    assert not terminated.any() and not truncated.any()
    assert torch.equal(reward, torch.zeros_like(reward))
    place_object(fresh_env, (0.5, 0.0, 0.4))
    _, reward, terminated, truncated, _ = fresh_env.step(idle(fresh_env))
    assert terminated.all() and not truncated.any()
    assert fresh_env.termination_manager.get_term("success").all()
    torch.testing.assert_close(reward, torch.ones_like(reward))


def test_time_out(fresh_env):
    for step in range(MAX_STEPS):
        _, reward, terminated, truncated, _ = fresh_env.step(idle(fresh_env))
        assert not terminated.any(), step
        assert bool(truncated.all()) == (step == MAX_STEPS - 1), step
    assert torch.equal(reward, torch.zeros_like(reward))


@pytest.mark.parametrize("fault", ["nan_position", "infinite_velocity", "huge_velocity", "nan_object"])
def test_a_diverged_world_is_reset_alone(lift_env, fault):
    env, world, after = lift_env, 7, 25

    def rollout(inject):
        env.reset(seed=3)
        generator = torch.Generator().manual_seed(0)
        observations, ended = [], []
        for step in range(after):
            if inject and step == 4:
                robot, ids = env.scene["robot"], torch.tensor([world])
                if fault == "nan_position":
                    robot.write_joint_position_to_sim_index(position=torch.full((1, 9), torch.nan), env_ids=ids)
                elif fault == "nan_object":
                    env.scene["object"].write_root_velocity_to_sim_index(
                        root_velocity=torch.full((1, 6), torch.nan), env_ids=ids
                    )
                else:
                    speed = torch.inf if fault == "infinite_velocity" else 1e6
                    robot.write_joint_velocity_to_sim_index(velocity=torch.full((1, 9), speed), env_ids=ids)
            action = 2 * torch.rand(env.num_envs, 7, generator=generator) - 1
            obs, _, terminated, _, _ = env.step(action)
            observations.append(obs["policy"].clone())
            ended.append(terminated.clone())
        return torch.stack(observations), torch.stack(ended)

    healthy, never = rollout(inject=False)
    faulty, ended = rollout(inject=True)
    assert not never.any()
    others = torch.arange(env.num_envs) != world
    assert torch.equal(faulty[:, others], healthy[:, others])
    assert not ended[:, others].any()
    assert ended[:, world].nonzero().flatten().tolist() == [4]
    assert torch.isfinite(faulty).all()


def test_a_joint_that_is_too_fast_has_diverged(fresh_env):
    """By its own state, before the physics carries it on to the others."""
    term = fresh_env.termination_manager.get_term_cfg("non_finite_state")
    assert not term.func(fresh_env, **term.params).any()
    velocity, ids = torch.zeros(1, 9), torch.tensor([7])
    velocity[0, 3] = 101.0
    fresh_env.scene["robot"].write_joint_velocity_to_sim_index(velocity=velocity, env_ids=ids)
    assert term.func(fresh_env, **term.params).nonzero().flatten().tolist() == [7]


@pytest.mark.parametrize("slippery", [False, True])
def test_expert_succeeds(fresh_env, slippery):
    """Also with a third of the pads' friction, which still holds seven times the cube's weight."""
    from zprl.tasks.experts import WaypointExpert
    from zprl.tasks.lift.config.franka.expert import LiftExpertCfg

    with pad_friction(0.5 if slippery else 1.5):
        expert = WaypointExpert(LiftExpertCfg(), fresh_env)
        success = torch.zeros(fresh_env.num_envs, dtype=torch.bool)
        running = ~success
        for _ in range(MAX_STEPS):
            _, _, terminated, truncated, _ = fresh_env.step(expert.act())
            success |= fresh_env.termination_manager.get_term("success") & running
            running &= ~(terminated | truncated)
    assert not running.any()
    assert success.float().mean() >= 0.95


@contextlib.contextmanager
def pad_friction(coefficient):
    """Give the fingers' pads another friction."""
    import newton
    import warp as wp

    from isaaclab_newton.physics import NewtonManager

    friction = NewtonManager.get_model().shape_material_mu
    assert friction is not None
    original = friction.numpy().copy()
    changed = original.copy()
    changed[["finger" in label for label in NewtonManager.get_model().shape_label]] = coefficient
    for values in (changed, original):
        friction.assign(wp.array(values, dtype=float))
        NewtonManager.add_model_change(newton.ModelFlags.SHAPE_PROPERTIES)
        if values is changed:
            yield


def test_the_ray_caster_sees_the_cube_where_it_is(fresh_env):
    """From half a metre above it, and the table beside it."""
    from isaaclab_newton.physics import NewtonManager

    from zprl.sim.isaaclab.primitives import visible_primitives, world_bodies
    from zprl.sim.render import PinholeCamera, RayCaster

    half, place = 0.0275, torch.tensor([0.45, 0.2, 0.0275])
    place_object(fresh_env, place.tolist())
    seen = visible_primitives(NewtonManager.get_model())
    cube, table = (next(i for i, label in enumerate(seen.labels) if name in label) for name in ("Object", "Table"))
    state: Any = NewtonManager.get_state_0()
    poses = torch.from_numpy(seen.poses(state.body_q.numpy()[world_bodies(NewtonManager.get_model())]))
    torch.testing.assert_close(poses[:, cube, :3], (place + fresh_env.scene.env_origins), atol=1e-5, rtol=0)
    eyes = torch.cat([poses[:, cube, :3], torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(fresh_env.num_envs, 4)], dim=1)
    eyes[:, 2] += half + 0.5
    camera = PinholeCamera(width=31, height=31, fx=100.0, fy=100.0, cx=15.5, cy=15.5)
    images = RayCaster(seen.primitives, camera).render(poses, eyes, outputs=("depth", "segmentation"))
    depth, ids = images["depth"], images["segmentation"]
    assert (ids[:, 15, 15] == cube).all() and (ids[:, 15, 30] == table).all()
    assert depth[:, 15, 15] == pytest.approx(0.5, abs=1e-5)
    assert depth[:, 15, 30] == pytest.approx(0.5 + 2 * half, abs=1e-5)
    assert ((ids[:, 15] == cube).sum(axis=1) == 11).all()  # 2 * 0.0275 / 0.5 * 100
