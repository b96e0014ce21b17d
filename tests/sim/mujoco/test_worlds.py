# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Each world of MuJoCo's CPU engine is a MuJoCo simulation of its own."""

# pyright: reportAttributeAccessIssue=false

import mujoco
import numpy as np
import pytest
import torch

from .conftest import lift_environment, roll_out, smooth_actions, solver_of

pytestmark = pytest.mark.sim

FULL_STATE = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)


def recorded(solver, monkeypatch):
    """Return a list that fills with (initial state, control, states, spec of the control) of all worlds by call."""
    calls = []
    original = solver._call

    def call(models, initial, control, states, spec):
        original(models, initial, control, states, spec)
        calls.append((initial.copy(), control.copy(), states.copy(), spec))

    monkeypatch.setattr(solver, "_call", call)
    return calls


def compiled(path, solver, mass=None, com=None):
    """Compile the scene from the file that Newton wrote, with another cube."""
    spec = mujoco.MjSpec.from_file(str(path))
    cube = spec.bodies[-1]
    assert cube.mass == pytest.approx(0.1)
    if mass is not None:
        cube.inertia = cube.inertia * mass / cube.mass
        cube.mass = mass
    if com is not None:
        cube.ipos = com
    model = spec.compile()
    model.opt.timestep = 0.01
    model.opt.disableflags = solver.mj_model.opt.disableflags
    return model


def simulated(model, solver, calls, world):
    """Simulate one world from its first state on, without any of Newton or Isaac Lab; return states, (calls, n)."""
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, calls[0][0][world], FULL_STATE)
    states = []
    for _, control, _, spec in calls:
        data.qacc_warmstart[:] = data.qfrc_applied[:] = 0.0
        data.xfrc_applied[:] = 0.0
        for command in control[world]:
            mujoco.mj_setState(model, data, command, spec)
            mujoco.mj_step(model, data)
        state = np.empty(calls[0][0].shape[1])
        mujoco.mj_getState(model, data, state, FULL_STATE)
        states.append(state)
    return np.stack(states)


def test_heavier_cube_falls_and_lifts_as_in_a_simulation_of_its_own(tmp_path, monkeypatch):
    from zprl.tasks.experts import WaypointExpert
    from zprl.tasks.lift.config.franka.expert import LiftExpertCfg

    scene, world, mass = tmp_path / "scene.xml", 3, 0.4
    with lift_environment(overrides=[f"env.sim.physics.solver_cfg.save_to_mjcf={scene}"]) as env:
        env.reset(seed=0)
        cube, solver = env.scene["object"], solver_of(env)
        ids = torch.tensor([world], dtype=torch.int32)
        cube.set_inertias_index(inertias=cube.data.body_inertia.torch[[world]] * mass / 0.1, env_ids=ids)
        cube.set_masses_index(masses=torch.full((1, 1), mass), env_ids=ids)
        pose = cube.data.root_pose_w.torch.clone()
        pose[:, 2] += 0.02
        cube.write_root_pose_to_sim_index(root_pose=pose)
        calls = recorded(solver, monkeypatch)
        expert = WaypointExpert(LiftExpertCfg(), env)
        height = []
        for _ in range(60):
            env.step(expert.act())
            height.append(float(cube.data.root_pos_w.torch[world, 2]))
            if env.termination_manager.get_term("success")[world]:
                break
        assert solver._models.num_models == 2
    assert height[0] < 0.047 and min(height) == pytest.approx(0.0275, abs=1e-3), "it did not fall onto the table"
    assert len(calls) == len(height) < 60, "it was not lifted"

    engine = np.stack([states[world, -1] for _, _, states, _ in calls])
    alone = simulated(compiled(scene, solver, mass), solver, calls, world)
    light = simulated(compiled(scene, solver), solver, calls, world)
    cube_z = 1 + solver.mj_model.nq - 7 + 2
    np.testing.assert_allclose(engine[:, cube_z - 2 : cube_z + 1], alone[:, cube_z - 2 : cube_z + 1], atol=1e-3)
    np.testing.assert_allclose(engine[:, 1:10], alone[:, 1:10], atol=1e-3)
    assert np.abs(light[:, 1:10] - alone[:, 1:10]).max() > 1e-3, "the mass makes no difference"


@pytest.mark.parametrize("com", [(0.0, 0.0, 0.0), (0.01, -0.005, 0.008)])
def test_thrown_cube_turns_as_one_compiled_with_its_inertia(tmp_path, monkeypatch, com):
    """MuJoCo compiles short cuts for simple inertias into a model; changing the inertia must undo them."""
    scene, world, mass = tmp_path / "scene.xml", 1, 0.25

    def never_ends(env_cfg):
        env_cfg.terminations.success = None

    saved = f"env.sim.physics.solver_cfg.save_to_mjcf={scene}"
    with lift_environment(num_envs=2, overrides=[saved], configure=never_ends) as env:
        env.reset(seed=0)
        cube, solver = env.scene["object"], solver_of(env)
        ids = torch.tensor([world], dtype=torch.int32)
        inertia = torch.diag(torch.tensor([1e-4, 2e-4, 2.5e-4]))
        cube.set_masses_index(masses=torch.full((1, 1), mass), env_ids=ids)
        cube.set_inertias_index(inertias=inertia.reshape(1, 1, 9), env_ids=ids)
        cube.set_coms_index(coms=torch.tensor([[[*com]]]), env_ids=ids)
        pose = cube.data.root_pose_w.torch.clone()
        pose[:, 2] = 2.0
        cube.write_root_pose_to_sim_index(root_pose=pose)
        velocity = torch.tensor([[0.1, 0.2, 1.0, 6.0, 0.5, 3.0]]).repeat(2, 1)
        cube.write_root_velocity_to_sim_index(root_velocity=velocity)
        calls = recorded(solver, monkeypatch)
        roll_out(env, torch.zeros(8, 2, 7))

    model = compiled(scene, solver)
    spec = mujoco.MjSpec.from_file(str(scene))
    body = spec.bodies[-1]
    body.mass, body.ipos, body.iquat, body.inertia = mass, com, (1, 0, 0, 0), np.diag(inertia)
    alone = simulated(_like(spec.compile(), model), solver, calls, world)
    engine = np.stack([states[world, -1] for _, _, states, _ in calls])
    np.testing.assert_allclose(engine[:, 1:], alone[:, 1:], atol=2e-4)  # without the time, which always starts at 0
    unchanged = simulated(model, solver, calls, world)
    assert np.abs(unchanged - alone)[:, -6:].max() > 0.1, "the inertia makes no difference"


def test_a_push_ends_with_its_step(monkeypatch):
    """Forces are handed to the engine only while there are some; without them it has to forget the last ones."""

    def never_ends(env_cfg):
        env_cfg.terminations.success = None

    with lift_environment(num_envs=2, overrides=["env.sim.physics.solver_cfg.threads=1"], configure=never_ends) as env:
        env.reset(seed=0)
        cube = env.scene["object"]
        pose = cube.data.root_pose_w.torch.clone()
        pose[:, 2] = 3.0
        cube.write_root_pose_to_sim_index(root_pose=pose)
        calls = recorded(solver_of(env), monkeypatch)
        cube.instantaneous_wrench_composer.set_forces_and_torques_index(
            forces=torch.tensor([[[2.0, 0.0, 0.0]]]),
            torques=torch.zeros(1, 1, 3),
            env_ids=torch.tensor([1], dtype=torch.int32),
            is_global=True,
        )
        speeds = []
        for _ in range(4):
            env.step(torch.zeros(2, 7))
            speeds.append(cube.data.root_lin_vel_w.torch[:, 0].clone())
    torch.testing.assert_close(torch.stack(speeds), torch.tensor([[0.0, 1.0]] * 4), atol=1e-3, rtol=0)  # F t / m
    sizes = [control.shape[-1] for _, control, _, _ in calls]
    assert sizes[0] > sizes[1] == sizes[2] == sizes[3]


def _like(model, other):
    model.opt.timestep, model.opt.disableflags = other.opt.timestep, other.opt.disableflags
    return model


def test_threads_change_no_bit():
    actions = smooth_actions(num_envs=24, steps=40)
    actions[:, :, 2] -= 0.4  # down to the table and the cubes

    def run(threads):
        # Worlds end at different times, so resets, and the random numbers they draw, are part of it.
        options = [f"env.sim.physics.solver_cfg.threads={threads}", "env.episode_length_s=1.3"]
        with lift_environment(num_envs=24, overrides=options) as env:
            assert solver_of(env).num_threads == threads
            env.reset(seed=0)
            env.episode_length_buf[:] = torch.arange(24)
            return roll_out(env, actions)

    one, five = run(1), run(5)
    assert torch.isfinite(one).all()
    assert torch.equal(one, five)


def test_a_full_buffer_does_not_stop_a_world(monkeypatch):
    """The engine holds a world still after any warning; one without a divergence must go on."""
    actions = smooth_actions(num_envs=2, steps=3)
    with lift_environment(num_envs=2) as env:
        solver = solver_of(env)
        env.reset(seed=0)
        expected = roll_out(env, actions)
        original = solver._call
        calls = []

        def stop_early(models, initial, control, states, spec):
            """Do as the engine does when a warning comes up in the third of five steps, in world 1."""
            calls.append(len(initial))
            original(models, initial, control, states, spec)
            if len(initial) == 2:
                states[1, 3:] = states[1, 2]

        monkeypatch.setattr(solver, "_call", stop_early)
        env.reset(seed=0)
        stopped = roll_out(env, actions)
    assert calls == [2, 1, 1] * len(actions)
    torch.testing.assert_close(stopped, expected, atol=1e-5, rtol=0)


def test_a_kinematic_body_is_where_it_is_put_and_does_not_count_as_inertia():
    """Newton locks it by an armature, which must not reach the mean inertia that scales the solver's tolerance."""

    def fixed_cube(env_cfg):
        env_cfg.scene.object.spawn.rigid_props.kinematic_enabled = True

    with lift_environment(num_envs=2, configure=fixed_cube) as env:
        env.reset(seed=0)
        cube = env.scene["object"]
        pose = cube.data.root_pose_w.torch.clone()
        pose[1] = torch.tensor([0.5, 0.1, 0.02, 0.0, 0.0, 0.6, 0.8])  # within the table
        cube.write_root_pose_to_sim_index(root_pose=pose[[1]], env_ids=torch.tensor([1], dtype=torch.int32))
        for _ in range(3):
            env.step(torch.zeros(2, 7))
        assert torch.equal(cube.data.root_pose_w.torch, pose)
        assert not cube.data.root_vel_w.torch.any()
        solver = solver_of(env)
        expected = solver.mjw_model.stat.meaninertia.numpy()
        ours = [model.stat.meaninertia for model in solver._models.of_worlds(0.01)]
    assert expected.max() < 10.0
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
