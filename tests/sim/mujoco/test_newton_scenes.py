# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Kinematic bodies, fixtures and tolerances, in scenes of Newton's own, which start at once."""

# Warp's annotations fit no pair of functions.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

import mujoco
import newton
import numpy as np
import pytest
import warp as wp

from zprl.sim.isaaclab.mujoco.kinematic_bodies import separate_immovable
from zprl.sim.isaaclab.mujoco.mujoco_solver import MujocoSolver
from zprl.utils.errors import ZprlError

pytestmark = pytest.mark.sim

DT = 0.01
WALLS = (((0.145, 0, 0.04), (0.005, 0.15, 0.04)), ((0, 0.145, 0.04), (0.15, 0.005, 0.04)))


class Scene:
    """Copies of a world on MuJoCo's CPU engine.

    Args:
        add: Adds the contents of one world to a builder.
        num_worlds: Number of worlds.
        **options: Options of the solver.
    """

    def __init__(self, add, num_worlds=1, **options):
        world, builder = newton.ModelBuilder(), newton.ModelBuilder()
        for each in (world, builder):
            newton.solvers.SolverMuJoCo.register_custom_attributes(each)
        add(world)
        builder.replicate(world, num_worlds)
        self.model = builder.finalize(device="cpu")
        self.solver = MujocoSolver(self.model, threads=1, integrator="implicitfast", **options)
        self.state, self.control = self.model.state(), self.model.control()
        newton.eval_fk(self.model, self.model.joint_q, self.model.joint_qd, self.state)

    def per_world(self, array):
        """Return a view of one of Newton's arrays, shape (num_worlds, rows, ...)."""
        values = array.numpy()
        return values.reshape(self.model.world_count, -1, *values.shape[1:])

    def step(self, steps=1):
        """Take steps in one call; return positions and velocities of all joints, shape (num_worlds, n) each."""
        self.solver.advance(self.state, self.control, DT, steps)
        return self.per_world(self.state.joint_q).copy(), self.per_world(self.state.joint_qd).copy()


def at(x=0.0, y=0.0, z=0.0):
    """Return a place."""
    return wp.transform((x, y, z), wp.quat_identity())


def box(builder, body, half, place=(0.0, 0.0, 0.0), density=1000.0):
    """Add a box to a body."""
    cfg = newton.ModelBuilder.ShapeConfig(density=density, mu=1.0)
    builder.add_shape_box(body, xform=at(*place), hx=half[0], hy=half[1], hz=half[2], cfg=cfg)


def hammer_in_bin(builder):
    """A hammer of 49 g in the middle of three bins, which reach 1 mm into each other and into the table."""
    box(builder, -1, (1.0, 1.0, 0.05), (0.0, 0.0, -0.05))
    for i in range(3):
        tray = builder.add_body(xform=at(0.299 * (i - 1), 0.0, -0.001), is_kinematic=True, label=f"bin{i}")
        box(builder, tray, (0.15, 0.15, 0.005), (0.0, 0.0, 0.005))
        for place, half in WALLS:
            box(builder, tray, half, place)
            box(builder, tray, half, (-place[0], -place[1], place[2]))
    lying = wp.transform((0.0, 0.0, 0.0265), wp.quat_from_axis_angle(wp.vec3(1.0, 0.0, 0.0), wp.pi / 2))
    hammer = builder.add_body(xform=lying, label="hammer")
    box(builder, hammer, (0.015, 0.015, 0.1), density=200.0)
    box(builder, hammer, (0.032, 0.016, 0.016), (0.0, 0.0, 0.1), density=200.0)


@pytest.mark.parametrize("cone", ["pyramidal", "elliptic"])
def test_free_body_in_a_kinematic_one_moves_as_in_a_mocap_body(cone, tmp_path):
    path = tmp_path / "scene.xml"
    scene = Scene(hammer_in_bin, tolerance=1e-6, cone=cone, save_to_mjcf=str(path))
    engine, speeds = [], []
    for _ in range(60):
        q, qd = scene.step(5)
        engine.append(q[0])
        speeds.append(np.abs(qd).max())
    assert max(speeds) < 2.0 and speeds[-1] < 1e-3
    engine = np.stack(engine)
    assert (engine[:, :21] == engine[0, :21]).all(), "a bin has moved"

    spec = mujoco.MjSpec.from_file(str(path))
    for body in spec.bodies:
        if body.name.startswith("bin"):
            spec.delete(body.joints[0])
            body.mocap = True
    model = spec.compile()
    model.opt.timestep = DT
    data = mujoco.MjData(model)
    alone = []
    for step in range(300):
        mujoco.mj_step(model, data)
        if step % 5 == 4:
            alone.append(data.qpos.copy())
    alone = np.stack(alone)[:, [0, 1, 2, 4, 5, 6, 3]]
    assert np.abs(alone[-1] - data.model.qpos0[[0, 1, 2, 4, 5, 6, 3]]).max() > 1e-3, "the hammer does not even settle"
    np.testing.assert_allclose(engine[:, 21:], alone, atol=2e-4)


def block_on_belt(builder):
    """A light block on a heavy kinematic plate."""
    belt = builder.add_body(xform=at(z=0.1), is_kinematic=True, label="belt")
    box(builder, belt, (1.0, 0.2, 0.02))
    block = builder.add_body(xform=at(z=0.14), label="block")
    box(builder, block, (0.05, 0.05, 0.02), density=100.0)


def test_belt_drags_a_block_and_stays_where_it_is():
    """A velocity moves no kinematic body, but contacts feel it: v = mu g t up to the belt's speed."""
    speed, steps = 0.3, 5
    scene = Scene(block_on_belt, num_worlds=2)
    still = Scene(block_on_belt, num_worlds=2)
    scene.per_world(scene.state.joint_qd)[0, 0] = speed
    for _ in range(12):
        q, qd = scene.step(steps)
        expected, _ = still.step(steps)
    assert (q[:, :7] == expected[:, :7]).all() and qd[0, 0] == np.float32(speed)
    np.testing.assert_array_equal(q[1], expected[1])  # whatever happens in the other world
    time = 12 * steps * DT
    assert qd[0, 6] == pytest.approx(speed, abs=1e-3)
    assert q[0, 7] == pytest.approx(speed * time - speed**2 / (2 * 9.81), abs=5e-3)
    assert abs(q[0, 9] - expected[0, 9]) < 1e-3


def test_several_steps_over_a_moving_body_are_as_one_at_a_time():
    def run(steps):
        scene = Scene(block_on_belt)
        scene.per_world(scene.state.joint_qd)[0, :6] = (0.1, 0.0, 0.2, 0.0, 0.5, 0.0)
        return [scene.step(steps)[0] for _ in range(20 // steps)][-1]

    np.testing.assert_allclose(run(5), run(1), atol=1e-5)


def test_plate_carries_a_block_along_the_path_that_is_written():
    scene = Scene(block_on_belt)
    scene.step(20)
    height = scene.per_world(scene.state.joint_q)[0, 9]
    for step in range(1, 41):
        scene.per_world(scene.state.joint_q)[0, [0, 2]] = 0.002 * step, 0.1 + 0.001 * step
        scene.per_world(scene.state.joint_qd)[0, [0, 2]] = 0.2, 0.1
        q, _ = scene.step()
        assert q[0, 0] == np.float32(0.002 * step) and q[0, 2] == np.float32(0.1 + 0.001 * step)
    assert q[0, 9] - height == pytest.approx(0.04, abs=1.5e-3)
    assert q[0, 7] == pytest.approx(0.08, abs=5e-3)


@pytest.mark.parametrize("seed", range(4))
def test_masks_lose_the_contacts_among_immovable_geoms_only(seed):
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2, (2, 12, 10))
    masks = (bits << generator.choice(32, size=10, replace=False)).sum(-1).astype(np.uint32).view(np.int32)
    spec = mujoco.MjSpec()
    for contype, conaffinity in masks.T:
        spec.worldbody.add_body().add_geom(size=[1, 1, 1], contype=int(contype), conaffinity=int(conaffinity))
    model = spec.compile()
    immovable = np.arange(12) < 5

    def touching(kind):
        partners, wanted = getattr(model, f"{kind}_contype"), getattr(model, f"{kind}_conaffinity")
        return (partners[:, None] & wanted) | (wanted[:, None] & partners) != 0

    expected = touching("geom") & ~(immovable[:, None] & immovable)
    assert (expected != touching("geom")).any()
    separate_immovable(model, immovable)
    np.testing.assert_array_equal(touching("geom"), expected)
    np.testing.assert_array_equal(touching("body")[1:, 1:], expected)  # every geom has a body of its own


def test_too_many_groups_for_kinematic_bodies_are_refused():
    spec = mujoco.MjSpec()
    for bit in range(32):
        mask = int(np.uint32(1 << bit).view(np.int32))
        spec.worldbody.add_body().add_geom(size=[1, 1, 1], contype=mask, conaffinity=mask)
        spec.worldbody.add_geom(size=[1, 1, 1], contype=mask, conaffinity=mask)
    model = spec.compile()
    with pytest.raises(ZprlError, match="cannot tell kinematic bodies from others in a scene with 32 ways of"):
        separate_immovable(model, model.geom_bodyid == 0)


def light_on_heavy(builder):
    """A block of 16 g on one of 1 t, whose inertia scales the tolerance of both."""
    builder.add_shape_plane(width=0.0, length=0.0)
    box(builder, builder.add_body(xform=at(z=0.0995)), (0.5, 0.5, 0.1), density=5000.0)
    box(builder, builder.add_body(xform=at(z=0.2094)), (0.02, 0.02, 0.01), density=500.0)


def test_tolerance_is_the_one_that_is_configured(tmp_path):
    """MuJoCo-Warp, which computes in float32, takes at least 1e-6."""
    path, tolerances = tmp_path / "scene.xml", (1e-6, 1e-9)
    exact = {"ls_tolerance": 0.01, "ccd_tolerance": 1e-8, "iterations": 70, "ls_iterations": 40}
    engine, alone = [], []
    for tolerance in tolerances:
        scene = Scene(light_on_heavy, tolerance=tolerance, cone="elliptic", save_to_mjcf=str(path), **exact)
        (model,) = scene.solver._models.of_worlds(DT)
        assert {name: getattr(model.opt, name) for name in exact} == exact
        assert model.opt.tolerance == tolerance
        scene.per_world(scene.state.joint_qd)[0, 6:8] = 0.5, 0.3
        engine.append(scene.step(10)[0].reshape(2, 7)[:, :3])

        model = mujoco.MjModel.from_xml_path(str(path))
        model.opt.timestep, model.opt.tolerance = DT, tolerance
        data = mujoco.MjData(model)
        data.qvel[6:8] = 0.5, 0.3
        mujoco.mj_step(model, data, 10)
        alone.append(data.qpos.reshape(2, 7)[:, :3])
    np.testing.assert_allclose(engine, alone, atol=1e-7, rtol=0)
    assert np.abs(alone[1] - alone[0]).max() > 1e-4, "the tolerance makes no difference"


def fixture_and_ball(builder):
    """A cup that stands on a fixed root and has a lid on a hinge, and a ball above it."""
    root, lid = (builder.add_link(xform=at(0.0, 0.0, 0.1), label=label) for label in ("cup", "lid"))
    box(builder, root, (0.05, 0.05, 0.01))
    box(builder, lid, (0.05, 0.02, 0.005), (0.0, 0.05, 0.0))
    fixed = builder.add_joint_fixed(-1, root, parent_xform=at(0.0, 0.0, 0.1))
    hinge = builder.add_joint_revolute(root, lid, parent_xform=at(0.0, 0.05, 0.02), axis=(1.0, 0.0, 0.0))
    builder.add_articulation([fixed, hinge])
    ball = builder.add_body(xform=at(0.01, 0.0, 0.2))
    builder.add_shape_sphere(ball, radius=0.02)


PLACES = ((0.0, 0.0, 0.1), (0.03, -0.01, 0.12), (-0.2, 0.1, 0.05), (0.01, 0.02, 0.15))


def test_worlds_with_fixtures_in_different_places_are_each_as_alone():
    def run(places):
        scene = Scene(fixture_and_ball, num_worlds=len(places))
        path = []
        for moved in range(3):
            scene.per_world(scene.model.joint_X_p)[:, 0, :3] = np.add(places, (0.0, 0.0, 0.01 * moved))
            scene.solver.notify_model_changed(newton.ModelFlags.JOINT_PROPERTIES)
            path += [scene.step(5)[0] for _ in range(8)]
        assert scene.solver._models.num_models == 1
        return np.stack(path)

    together = run(PLACES)
    for world, place in enumerate(PLACES):
        np.testing.assert_array_equal(together[:, world], run([place])[:, 0])
        assert world == 0 or not np.array_equal(together[:, world], together[:, 0]), "the place makes no difference"


def test_a_joint_that_lies_elsewhere_is_a_model_of_its_own():
    """It is told of in the same way as a fixture that is placed elsewhere."""
    scene = Scene(fixture_and_ball, num_worlds=3)
    scene.per_world(scene.model.joint_X_p)[1, 1, 1] = 0.04
    scene.solver.notify_model_changed(newton.ModelFlags.JOINT_PROPERTIES)
    scene.step()
    places = [model.body_pos[2] for model in scene.solver._models.of_worlds(DT)]
    np.testing.assert_allclose(places, [(0.0, 0.05, 0.02), (0.0, 0.04, 0.02), (0.0, 0.05, 0.02)], rtol=1e-6)
    assert scene.solver._models.num_models == 2
