# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The stress tests of the place-orange task in its worlds, against what they are to draw."""

import gymnasium
import pytest
import torch

from zprl.robustness.catalogue import disturbances_of, parse_disturbances
from zprl.robustness.disturbances import Draws
from zprl.utils.errors import ZprlError

pytestmark = pytest.mark.sim

TASK = "Zprl-PlaceOrange-Franka"
SEEDS = (3, 1, 4, 1)


@pytest.fixture(scope="module")
def disturbed():
    """Give the session's settings with other oranges, the noiseless environment of four worlds, and the catalogue."""
    from zprl.runs.session import TaskSession

    session = TaskSession(TASK, num_envs=4)
    own = disturbances_of(TASK)
    with session.launched(), session.isaaclab_environment(configure=own["model_variation"].configure) as env:
        yield session, env, own


def test_the_names_are_the_papers(disturbed):
    _, _, own = disturbed
    assert list(own) == ["disturbance", "model_variation"]
    assert set(parse_disturbances(None, own)) >= set(own)
    assert "disturbances_entry_point" not in gymnasium.spec("Zprl-Lift-Franka").kwargs


def test_oranges_differ_in_size_and_mass_from_world_to_world(disturbed):
    from isaaclab_newton.physics import NewtonManager

    _, env, _ = disturbed
    orange, worlds = env.unwrapped.scene["object"], range(4)
    env.draw_events("disturbance", SEEDS)
    env.reset_to(SEEDS)
    height = orange.data.root_pos_w.torch[:, 2].tolist()
    for _ in range(10):
        env.step(env.spec.idle_action(env.device).expand(4, -1))

    models: list = NewtonManager._solver._models.of_worlds(0.01)  # type: ignore[union-attr]
    (ball,) = [g for g in range(models[0].ngeom) if models[0].geom_type[g] == 2]
    radii = [float(models[world].geom_size[ball, 0]) for world in worlds]
    masses = orange.data.body_mass.torch[:, 0].tolist()
    assert radii[1] == radii[3] and masses[1] == masses[3]  # the seed's
    for values, low, high in ((radii, 0.030, 0.040), (masses, 0.08, 0.25)):
        assert len(set(values)) == 3 and low <= min(values) and max(values) <= high
    for world in worlds:
        model, radius, body = models[world], radii[world], models[world].geom_bodyid[ball]
        assert model.geom_rbound[ball] == radius and height[world] == pytest.approx(radius, abs=1e-6)
        assert model.body_mass[body] == pytest.approx(masses[world])
        assert model.body_inertia[body] == pytest.approx([0.4 * masses[world] * radius**2] * 3, rel=1e-4)
        # It rests on the table: the contact holds what its radius says, and has not thrown it up.
        assert float(orange.data.root_pos_w.torch[world, 2]) == pytest.approx(radius, abs=5e-4)
        assert float(orange.data.root_vel_w.torch[world].norm()) < 0.02


def test_no_variation_is_the_usual_orange(disturbed):
    _, _, own = disturbed
    params = [term.params for term in own["model_variation"].with_strength(0.0).events(None).values()]
    assert params[0]["mass_distribution_params"] == (0.16, 0.16) and params[1]["radius"] == (0.037, 0.037)


def test_other_engines_take_no_other_oranges(disturbed):
    from zprl.sim.isaaclab import resolve_task

    _, _, own = disturbed
    cfg, _ = resolve_task(TASK, None, ["physics=newton_mjwarp"])
    with pytest.raises(ZprlError, match="need physics=mujoco"):
        own["model_variation"].configure(cfg)


def test_in_the_worlds_the_orange_is_kicked_or_the_juicer_shifted(disturbed):
    session, env, own = disturbed
    scene = env.unwrapped.scene
    signal = own["disturbance"].start(Draws(0, range(4), 4, 200), env.spec, session.env_cfg.disturbance_targets)
    env.reset_to(range(4))
    orange, juicer = scene["object"].data, scene["juicer"].data
    done = torch.zeros(2, 4, dtype=torch.long)
    for _ in range(env.max_episode_length * 2 // 3):
        velocity, place = orange.root_vel_w.torch.clone(), juicer.root_pos_w.torch.clone()
        signal.disturb(env)
        kick, shift = orange.root_vel_w.torch - velocity, juicer.root_pos_w.torch - place
        done += torch.stack([kick.norm(dim=1) > 0.19, shift.norm(dim=1) > 0.019]).long()
        moved = (juicer.root_pos_w.torch - env.unwrapped.scene.env_origins).clone()
        env.step(env.spec.idle_action(env.device).expand(4, -1))
        there = juicer.root_pos_w.torch - env.unwrapped.scene.env_origins
        torch.testing.assert_close(there, moved)  # it stays where it has been put
    assert done.sum(dim=0).tolist() == [1, 1, 1, 1] and done.sum(dim=1).min() > 0
