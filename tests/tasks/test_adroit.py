# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The authored hand: its file, its joints, and its motion beside the benchmark's own model, where that is installed."""

# mujoco's compiled modules describe themselves to no type checker.
# pyright: reportAttributeAccessIssue=false

import math
from typing import Any, cast

import numpy as np
import pytest
import torch

from .adroit_benchmark import model_of, run_expert

pytestmark = pytest.mark.sim

TASK = "Zprl-Pen-Adroit-Dense"


@pytest.fixture(scope="module")
def env():
    """Give two worlds whose episodes do not end when the pen falls."""
    from zprl.runs.session import TaskSession

    session = TaskSession(TASK, "cpu", ["env.terminations.object_dropping=null", "env.rewards.dropped=null"], 2)
    with session.launched(), session.isaaclab_environment() as env:
        yield env.unwrapped


def without_pen(env):
    """Start an episode with the pen out of reach."""
    env.reset(seed=0)
    pose = env.scene["object"].data.root_pose_w.torch.clone()
    pose[:, 0] += 3.0
    env.scene["object"].write_root_pose_to_sim_index(root_pose=pose)


@pytest.mark.parametrize("arm", ["fixed", "two_axes", "four_axes"])
def test_file_is_what_the_generator_writes(arm, tmp_path):
    from zprl.tasks.robots.assets import ADROIT_USDS
    from zprl.tasks.robots.assets.adroit import write_adroit

    written = write_adroit(tmp_path / "adroit.usda", arm)
    assert written.read_text() == ADROIT_USDS[arm].read_text(), "run `python -m zprl.tasks.robots.assets.adroit`"


def test_the_action_is_a_place_in_each_joints_range(env):
    from zprl.tasks.robots.adroit import HAND_RANGES

    term = env.action_manager.get_term("hand_action")
    assert list(term._joint_names) == list(HAND_RANGES)
    low, high = torch.tensor(list(HAND_RANGES.values())).T
    without_pen(env)
    for action, target in ((-1.0, low), (0.0, (low + high) / 2), (1.0, high), (7.0, high)):
        term.process_actions(torch.full((2, 24), action))
        torch.testing.assert_close(term.processed_actions, target.repeat(2, 1), atol=1e-6, rtol=0)
    idle = torch.tensor(env.cfg.idle_action["hand_action"]).repeat(2, 1)
    term.process_actions(idle)
    torch.testing.assert_close(term.processed_actions, torch.zeros(2, 24), atol=1e-6, rtol=0)


def test_a_closed_fist_of_known_angles_is_where_trigonometry_puts_it(env):
    """The first finger: knuckle (0.033, 0, 0.095) of the palm, links of 45 and 25 mm, bent about x by three angles."""
    robot = env.scene["robot"]
    position = torch.zeros(2, 24)
    bends = (0.3, 0.5, 0.4)
    for name, angle in zip(("FFJ2", "FFJ1", "FFJ0"), bends, strict=True):
        position[:, robot.joint_names.index(name)] = angle
    robot.write_joint_position_to_sim_index(position=position)
    env.sim.forward()
    env.scene.update(0.0)
    total = np.cumsum(bends)
    # About x, what points along z turns towards -y. The forearm points along the world's y axis, the palm up: the
    # palm's x, y and z are the world's x, -z and y.
    y = -0.045 * math.sin(total[0]) - 0.025 * math.sin(total[1])
    z = 0.095 + 0.045 * math.cos(total[0]) + 0.025 * math.cos(total[1])
    palm = np.array([0.0, -0.7 + 0.396 + 0.034, 0.2])
    tip = robot.data.body_pos_w.torch[0, robot.body_names.index("ffdistal")].numpy()
    np.testing.assert_allclose(tip, palm + np.array([0.033, z, -y]), atol=1e-5)


def test_fingers_do_not_go_through_each_other(env):
    """Two fingers that are told to cross end side by side: their tips are two radii apart, 7.05 mm each."""
    robot = env.scene["robot"]
    names = env.action_manager.get_term("hand_action")._joint_names
    without_pen(env)
    action = torch.tensor(env.cfg.idle_action["hand_action"]).repeat(2, 1)
    action[:, names.index("FFJ3")] = -1.0  # towards the middle finger
    action[:, names.index("MFJ3")] = 1.0
    for _ in range(50):
        env.step(action)
    tips = [robot.data.body_pos_w.torch[0, robot.body_names.index(f"{name}distal")] for name in ("ff", "mf")]
    first, middle = (robot.data.joint_pos.torch[0, robot.joint_names.index(name)] for name in ("FFJ3", "MFJ3"))
    assert first > -0.4 and middle < 0.4  # both are held back
    assert (tips[0] - tips[1]).norm() > 0.012


def test_the_last_joint_of_a_finger_follows_the_one_before(env):
    without_pen(env)
    action = torch.tensor(env.cfg.idle_action["hand_action"]).repeat(2, 1)
    names = env.action_manager.get_term("hand_action")._joint_names
    action[:, names.index("FFJ1")] = 1.0
    for _ in range(50):
        env.step(action)
    joints = dict(zip(env.scene["robot"].joint_names, env.scene["robot"].data.joint_pos.torch[0].tolist(), strict=True))
    # 0.00705 q0 - 0.00805 q1 stays within 1 mm, of soft limits: both drives pull, so neither reaches its target.
    assert 0.4 < joints["FFJ0"] < joints["FFJ1"] < 1.5
    assert abs(0.00705 * joints["FFJ0"] - 0.00805 * joints["FFJ1"]) < 1.5e-3


def test_inertia_is_that_of_the_pen_and_its_armature(env):
    inertia = env.scene["object"].data.body_inertia.torch[0].view(3, 3)
    # A solid cylinder of 0.182 kg, 13 cm long and 3 cm thick, and 1e-3 for the benchmark's hinges.
    across = 0.182 * (3 * 0.015**2 + 0.13**2) / 12 + 1e-3
    along = 0.182 * 0.015**2 / 2 + 1e-3
    torch.testing.assert_close(inertia, torch.diag(torch.tensor([across, across, along])), atol=3e-5, rtol=0)


# -- beside the benchmark ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def benchmark():
    """Give the benchmark's own model of the pen task, its mark out of reach, which collides there."""
    model = model_of("pen")
    model.body("target").pos = [2.0, 0.0, 0.0]
    return model


def test_the_links_that_touch_are_the_benchmarks(benchmark):
    from zprl.tasks.robots.assets.adroit import TOUCHING

    def link(geom):
        return benchmark.body(benchmark.geom_bodyid[geom]).name

    theirs = {
        frozenset((link(one), link(other)))
        for one, other in zip(benchmark.pair_geom1, benchmark.pair_geom2, strict=True)
    }
    assert {frozenset(pair) for pair in TOUCHING} == theirs
    assert len(TOUCHING) == len(theirs)


def test_masses_inertias_and_limits_are_the_benchmarks(env, benchmark):
    data = env.scene["robot"].data
    for name, mass, inertia in zip(
        env.scene["robot"].body_names, data.body_mass.torch[0], data.body_inertia.torch[0], strict=True
    ):
        if name == "base":  # stands still
            continue
        body = benchmark.body(name)
        assert mass == pytest.approx(body.mass[0], abs=1e-6)
        moments = np.linalg.eigvalsh(inertia.view(3, 3).numpy())
        np.testing.assert_allclose(moments, np.sort(body.inertia), atol=1e-7)
    ranges = [benchmark.joint(name).range for name in env.scene["robot"].joint_names]
    np.testing.assert_allclose(data.joint_pos_limits.torch[0].numpy(), ranges, atol=1e-6)


def test_free_motion_is_the_benchmarks(env, benchmark):
    """Over one second, with steps five times as long, where no finger touches another: there is friction here."""
    import mujoco

    names = env.scene["robot"].joint_names
    rows = [benchmark.joint(name).qposadr[0] for name in names]
    ranges = env.cfg.actions.hand_action.clip
    sideways = [name.endswith(("J3", "J4")) or name.startswith("TH") for name in ranges]
    rest = torch.tensor(env.cfg.idle_action["hand_action"])
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        without_pen(env)
        data = mujoco.MjData(benchmark)
        data.qpos[rows] = env.scene["robot"].data.joint_pos.torch[0]
        data.qpos[benchmark.joint("OBJTz").qposadr[0]] = 3.0  # along the pen, and so along x
        action = torch.where(torch.tensor(sideways), rest, 2.0 * torch.rand(24, generator=generator) - 1.0)
        for (name, (low, high)), element in zip(ranges.items(), action.tolist(), strict=True):
            data.actuator(f"A_{name}").ctrl = (low + high) / 2 + element * (high - low) / 2
        for _ in range(50):
            env.step(action.repeat(2, 1))
            mujoco.mj_step(benchmark, data, 10)
            found = env.scene["robot"].data.joint_pos.torch[0].numpy()
            np.testing.assert_allclose(found, data.qpos[rows], atol=0.05)
        np.testing.assert_allclose(found, data.qpos[rows], atol=0.005)


def pressing(model, data, thing):
    """Return how hard each body presses on a thing [N], by its name."""
    import mujoco

    found, force = {}, np.zeros(6)
    for index, contact in enumerate(data.contact):
        bodies = [int(model.geom_bodyid[geom]) for geom in (contact.geom1, contact.geom2)]
        if thing in bodies:
            mujoco.mj_contactForce(model, data, index, force)
            other = model.body(bodies[1 - bodies.index(thing)]).name.split("_")[-1].lower()
            found[other] = found.get(other, 0.0) + force[0]
    return {name: value for name, value in found.items() if value > 0.01}


@pytest.mark.parametrize("bent", [-1.0, 0.0])
def test_a_held_pen_rests_on_the_same_bodies_as_in_the_benchmark(env, benchmark, bent):
    """Fingers close on it from where episodes begin, for 1.8 s."""
    import mujoco

    from isaaclab_newton.physics import NewtonManager

    env.reset(seed=0)
    robot, pen = env.scene["robot"].data, env.scene["object"].data
    action = torch.tensor(env.cfg.idle_action["hand_action"])
    there, solver = mujoco.MjData(benchmark), cast(Any, NewtonManager._solver)
    there.qpos[[benchmark.joint(name).qposadr[0] for name in env.scene["robot"].joint_names]] = robot.joint_pos.torch[0]
    for index, (name, (low, high)) in enumerate(env.cfg.actions.hand_action.clip.items()):
        if name.endswith(("J0", "J1", "J2")) and not name.startswith(("TH", "WR")):
            action[index] = bent
        there.actuator(f"A_{name}").ctrl = (low + high) / 2 + float(action[index]) * (high - low) / 2
    for _ in range(90):
        env.step(action.repeat(2, 1))
        mujoco.mj_step(benchmark, there, 10)
    mujoco.mj_forward(benchmark, there)
    model = solver.mj_model
    here = mujoco.MjData(model)
    here.qpos[:], here.ctrl[:] = solver.mjw_data.qpos.numpy()[0], solver.mjw_data.ctrl.numpy()[0]
    mujoco.mj_forward(model, here)
    own = next(index for index in range(model.nbody) if model.body(index).name.endswith("_Object"))
    found, expected = pressing(model, here, own), pressing(benchmark, there, benchmark.body("Object").id)
    # On the palm and against the thumb, between two of whose bodies the pen lies.
    thumb = [sum(value for name, value in side.items() if name.startswith("th")) for side in (found, expected)]
    assert thumb[0] == pytest.approx(thumb[1], abs=0.1)
    assert found["lfmetacarpal"] == pytest.approx(expected["lfmetacarpal"], abs=0.1)
    assert not any(name[:2] in ("ff", "mf", "rf") for name in found.keys() | expected.keys())
    place = pen.root_pos_w.torch[0] - env.scene.env_origins[0]
    np.testing.assert_allclose(place.numpy(), there.body("Object").xpos, atol=0.006)
    np.testing.assert_allclose(here.body(own).xmat[2::3], there.body("Object").xmat[2::3], atol=0.06)


def assert_same_body(body, mass, moments):
    assert mass == pytest.approx(body.mass[0], abs=1e-5)
    np.testing.assert_allclose(np.sort(moments), np.sort(body.inertia), atol=2e-6)


@pytest.mark.parametrize(("task", "arm"), [("hammer", "two_axes"), ("door", "four_axes")])
def test_arms_and_things_are_the_benchmarks(task, arm):
    from zprl.tasks.door import door_env_cfg
    from zprl.tasks.door.door_usd import LINKS as DOOR
    from zprl.tasks.hammer import hammer_env_cfg
    from zprl.tasks.hammer.nail_board_usd import LINKS as BOARD
    from zprl.tasks.robots.assets.adroit_arms import ARMS
    from zprl.tasks.robots.assets.authoring import principal_inertia

    model = model_of(task)
    for joint in ARMS[arm]:
        np.testing.assert_allclose(model.joint(joint.name).range, joint.limits, atol=1e-9)
        np.testing.assert_allclose(model.joint(joint.name).axis, np.eye(3)["XYZ".index(joint.axis)], atol=1e-9)
    scene = door_env_cfg.DoorSceneCfg().door if task == "door" else hammer_env_cfg.HammerSceneCfg().board
    for link in DOOR if task == "door" else BOARD:
        if link.name == "board":  # has another name there, and stands still
            continue
        assert_same_body(model.body(link.name), link.mass, principal_inertia(link.inertia)[0])
        if link.joint is not None:
            joint, actuator = model.joint(link.joint.name), scene.actuators[link.joint.name]
            np.testing.assert_allclose(joint.range, link.joint.limits, atol=1e-9)
            assert (actuator.friction, actuator.damping) == (joint.frictionloss[0], joint.damping[0])
            assert actuator.armature == joint.armature[0]
    if task == "hammer":
        armature = model.joint("OBJRx").armature[0]
        own = np.array(hammer_env_cfg.INERTIA) - armature
        assert_same_body(model.body("Object"), hammer_env_cfg.MASS, own)
        np.testing.assert_allclose(model.body("Object").ipos, hammer_env_cfg.CENTER_OF_MASS, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["pen", "door", "hammer"])
def test_experts_act_in_the_benchmarks_own_worlds(task):
    """At a fifth of the step and with contacts of its own, and from the states that it draws."""
    assert run_expert(task, 20).successes >= 10
