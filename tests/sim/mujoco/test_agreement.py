# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""MuJoCo's CPU engine does what MuJoCo-Warp does, with all that a task can change in a world."""

import pytest
import torch

from isaaclab.utils.math import quat_from_euler_xyz

from .conftest import lift_environment, roll_out, smooth_actions, solver_of

pytestmark = pytest.mark.sim

JOINTS, CUBE = slice(0, 9), slice(18, 21)


def never_ends(env_cfg):
    """Let the cube be anywhere."""
    env_cfg.terminations.success = None


def both_engines(run, **options):
    """Return what a function of the environment returns, on MuJoCo's CPU engine and on MuJoCo-Warp."""
    results = []
    for physics in ("mujoco", "newton_mjwarp"):
        with lift_environment(physics, **options) as env:
            env.reset(seed=0)
            results.append(run(env))
    return results


def test_free_motion_agrees():
    actions = smooth_actions(num_envs=32, steps=60)
    ours, theirs = both_engines(lambda env: roll_out(env, actions), num_envs=32)
    assert (ours[-1, :, JOINTS] - ours[0, :, JOINTS]).abs().amax() > 0.5, "the arms hardly moved"
    torch.testing.assert_close(ours[..., JOINTS], theirs[..., JOINTS], atol=1e-3, rtol=0)
    torch.testing.assert_close(ours[..., CUBE], theirs[..., CUBE], atol=1e-3, rtol=0)


def test_expert_succeeds_on_both():
    from zprl.tasks.experts import WaypointExpert
    from zprl.tasks.lift.config.franka.expert import LiftExpertCfg

    def successes(env):
        expert = WaypointExpert(LiftExpertCfg(), env)
        success = torch.zeros(env.num_envs, dtype=torch.bool)
        running = ~success
        for _ in range(80):
            _, _, terminated, truncated, _ = env.step(expert.act())
            success |= env.termination_manager.get_term("success") & running
            running &= ~(terminated | truncated)
        return success.float().mean()

    ours, theirs = both_engines(successes, num_envs=64)
    assert ours >= 0.98
    assert theirs >= 0.98


def test_everything_that_a_task_writes_reaches_the_engine():
    """In each world something else is changed; a world in which nothing is changed shows that it matters."""

    def only(world):
        return {"env_ids": torch.tensor([world], dtype=torch.int32)}

    def write_and_roll_out(env):
        robot, cube = env.scene["robot"], env.scene["object"]
        shift = robot.data.root_pose_w.torch[[1]].clone()
        shift[:, 0] += 0.1
        shift[:, 3:] = quat_from_euler_xyz(torch.zeros(1), torch.zeros(1), torch.full((1,), 0.3))
        robot.write_root_pose_to_sim_index(root_pose=shift, **only(1))
        robot.write_joint_position_to_sim_index(position=robot.data.joint_pos.torch[[2]] + 0.1, **only(2))
        robot.write_joint_stiffness_to_sim_index(stiffness=robot.data.joint_stiffness.torch[[3]] * 0.1, **only(3))
        robot.write_joint_damping_to_sim_index(damping=robot.data.joint_damping.torch[[4]] * 5.0, **only(4))
        robot.write_joint_armature_to_sim_index(armature=robot.data.joint_armature.torch[[5]] * 20.0, **only(5))
        robot.write_joint_effort_limit_to_sim_index(limits=torch.full((1, 9), 2.0), **only(6))
        robot.write_joint_friction_coefficient_to_sim_index(joint_friction_coeff=torch.full((1, 9), 5.0), **only(7))
        # The cubes fall for all of the time: where it bounces and tips, the engines are free to differ.
        pose = cube.data.root_pose_w.torch.clone()
        pose[:, 2] = 3.0
        cube.write_root_pose_to_sim_index(root_pose=pose)
        cube.set_masses_index(masses=torch.full((1, 1), 3.0), **only(8))
        cube.permanent_wrench_composer.set_forces_and_torques_index(
            forces=torch.tensor([[[2.0, 0.0, 0.0]]]), torques=torch.zeros(1, 1, 3), is_global=True, **only(8)
        )
        cube.permanent_wrench_composer.set_forces_and_torques_index(
            forces=torch.tensor([[[2.0, 0.0, 0.0]]]), torques=torch.zeros(1, 1, 3), is_global=True, **only(9)
        )
        cube.write_root_velocity_to_sim_index(root_velocity=torch.tensor([[0.5, 0.2, 1, 0, 0, 0.0]]), **only(10))
        actions = torch.zeros(12, env.num_envs, 7)
        actions[..., 0] = actions[..., 2] = 1.0
        return roll_out(env, actions)

    ours, theirs = both_engines(write_and_roll_out, num_envs=12, configure=never_ends)
    torch.testing.assert_close(ours[..., JOINTS], theirs[..., JOINTS], atol=2e-3, rtol=0)
    torch.testing.assert_close(ours[..., CUBE], theirs[..., CUBE], atol=1e-3, rtol=0)
    untouched = ours[:, 11]
    for world in range(11):
        part = CUBE if world >= 8 else JOINTS
        if world == 1:  # the whole robot stands elsewhere
            continue
        start = ours[0, world, part] - untouched[0, part]
        assert (ours[-1, world, part] - untouched[-1, part] - start).abs().amax() > 5e-3, world
    # x = F t^2 / 2 m for a force of 2 N on 3 kg and on 0.1 kg; the first step is over when the record starts.
    for world, mass in ((8, 3.0), (9, 0.1)):
        t0, t1 = 0.05, 12 * 0.05
        moved = ours[-1, world, 18] - ours[0, world, 18]
        assert moved.item() == pytest.approx(2.0 / mass * (t1**2 - t0**2) / 2, rel=0.03)


def test_gravity_per_world():
    import newton
    import warp as wp

    from isaaclab_newton.physics import NewtonManager

    def fall(env):
        gravity = NewtonManager.get_model().gravity
        assert gravity is not None
        values = gravity.numpy()
        values[2] = (0.0, 0.0, -1.62)
        gravity.assign(wp.array(values, dtype=wp.vec3))
        NewtonManager.add_model_change(newton.ModelFlags.MODEL_PROPERTIES)
        pose = env.scene["object"].data.root_pose_w.torch.clone()
        pose[:, :3] += torch.tensor([0.0, 0.3, 1.0])
        env.scene["object"].write_root_pose_to_sim_index(root_pose=pose)
        return roll_out(env, torch.zeros(4, env.num_envs, 7))[-1, :, 20] - pose[:, 2]

    ours, theirs = both_engines(fall, num_envs=4, configure=never_ends)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    steps = 20  # of 0.01 s, velocity before position
    expected = -9.81 * 1e-4 * steps * (steps + 1) / 2
    torch.testing.assert_close(ours[[0, 1, 3]], torch.full((3,), expected), atol=1e-4, rtol=0)
    assert ours[2].item() == pytest.approx(expected * 1.62 / 9.81, abs=1e-4)


def test_places_of_worlds_do_not_matter():
    actions = smooth_actions(num_envs=9, steps=20)

    def relative(env):
        states = roll_out(env, actions)
        states[..., 18:21] -= env.scene.env_origins
        return states, solver_of(env)._models.num_models, env.scene.env_origins.clone()

    results = []
    for spacing in (0.0, 2.5):
        with lift_environment(num_envs=9, overrides=[f"env.scene.env_spacing={spacing}"]) as env:
            env.reset(seed=0)
            results.append(relative(env))
    (here, _, nowhere), (apart, num_models, origins) = results
    assert not nowhere.any() and origins.abs().amax() >= 2.5
    assert num_models == 1, "worlds that differ by their place alone should share a model"
    torch.testing.assert_close(apart, here, atol=1e-4, rtol=0)


def test_held_command_gives_the_same_as_substeps():
    actions = smooth_actions(num_envs=4, steps=20)

    def run(overrides):
        with lift_environment(overrides=overrides) as env:
            env.reset(seed=0)
            calls = []
            solver = solver_of(env)
            advance = solver.advance
            solver.advance = lambda *args: (calls.append(args[-1]), advance(*args))
            return roll_out(env, actions), calls

    substeps, one_call = run([])
    held, decimated = run(
        [
            *("env.decimation=5", "env.sim.dt=0.01", "env.sim.physics.num_substeps=1"),
            "env.sim.physics.solver_cfg.constant_command=True",
        ]
    )
    assert one_call == decimated == [5] * len(actions)
    assert torch.equal(substeps, held)


@pytest.mark.parametrize("native", [True, False])
def test_explicit_actuators(native):
    """Torques that Isaac Lab computes on every physics step, inside Newton's loop or before it."""
    from isaaclab.actuators import IdealPDActuatorCfg

    def explicit(env_cfg):
        env_cfg.decimation, env_cfg.sim.dt, env_cfg.sim.physics.num_substeps = 5, 0.01, 1
        env_cfg.sim.use_newton_actuators = native
        for name in ("panda_shoulder", "panda_forearm"):
            implicit = env_cfg.scene.robot.actuators[name]
            env_cfg.scene.robot.actuators[name] = IdealPDActuatorCfg(
                joint_names_expr=implicit.joint_names_expr,
                joint_effort_limit=implicit.joint_effort_limit,
                stiffness=60.0,
                damping=6.0,
                armature=0.1,
            )

    actions = smooth_actions(num_envs=4, steps=20)
    ours, theirs = both_engines(lambda env: roll_out(env, actions), num_envs=4, configure=explicit)
    assert (ours[-1, :, JOINTS] - ours[0, :, JOINTS]).abs().amax() > 0.1, "the arms hardly moved"
    torch.testing.assert_close(ours[..., JOINTS], theirs[..., JOINTS], atol=1e-3, rtol=0)


def test_friction_per_world():
    """A sliding cube comes to rest after v^2 / 2 mu g, with the friction of its own world."""
    import newton
    import warp as wp

    from isaaclab_newton.physics import NewtonManager

    friction, speed = {1: 0.5, 2: 0.25, 3: 0.35}, 0.6

    def slide(env):
        model = NewtonManager.get_model()
        assert model.shape_material_mu is not None
        values = model.shape_material_mu.numpy()
        for world, value in friction.items():
            values[[f"/env_{world}/" in label and "panda" not in label for label in model.shape_label]] = value
        model.shape_material_mu.assign(wp.array(values, dtype=float))
        NewtonManager.add_model_change(newton.ModelFlags.SHAPE_PROPERTIES)
        pose = torch.tensor([[0.3, 0.3, 0.0274, 0.0, 0.0, 0.0, 1.0]]).repeat(env.num_envs, 1)
        env.scene["object"].write_root_pose_to_sim_index(root_pose=pose)
        velocity = torch.tensor([[speed, 0.0, 0.0, 0.0, 0.0, 0.0]]).repeat(env.num_envs, 1)
        env.scene["object"].write_root_velocity_to_sim_index(root_velocity=velocity)
        return roll_out(env, torch.zeros(12, env.num_envs, 7))[-1, :, 18] - 0.3

    with lift_environment(num_envs=4) as env:
        env.reset(seed=0)
        slid = slide(env)
    for world, mu in friction.items():
        assert slid[world].item() == pytest.approx(speed**2 / (2 * mu * 9.81), rel=0.1), world
