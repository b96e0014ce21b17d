# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Disturbances against sequences computed by hand; no simulator runs."""

import math

import pytest
import torch

from zprl.envs import EnvLayout
from zprl.robustness.catalogue import DISTURBANCES, parse_disturbances
from zprl.robustness.disturbances import (
    ActionDelay,
    DelayLine,
    Draws,
    DroppedObservations,
    ObjectPoseError,
    ObjectPush,
    ObservationBias,
    ObservationDelay,
    ObservationNoise,
    Undisturbed,
    term_slices,
)
from zprl.robustness.disturbed_worlds import Friction, Gains, ObjectMass
from zprl.utils.errors import ZprlError

LAYOUT = EnvLayout(
    "Test", (("ee_pose", 9), ("object_pose", 9), ("object_in_ee_frame", 3)), (("arm", 2), ("gripper", 1)), 0.05
)


def draws(episodes=range(3), num_envs=3, steps=50, seed=0):
    return Draws(seed, episodes, num_envs, steps)


def numbers(*values):
    """Return one observation or action (3, 1) per value, different by row."""
    return [torch.tensor([[v], [v + 100.0], [v + 200.0]]) for v in values]


def first_row(tensors):
    return [float(t[0, 0]) for t in tensors]


@pytest.mark.parametrize(
    ("steps", "expected"), [(0, [1, 2, 3, 4]), (1, [1, 1, 2, 3]), (2, [1, 1, 1, 2]), (3, [1, 1, 1, 1])]
)
def test_an_observation_comes_late_and_the_first_one_stands_in(steps, expected):
    signal = ObservationDelay(steps).start(draws(), LAYOUT)
    seen = [signal.observe(obs) for obs in numbers(1, 2, 3, 4)]
    assert first_row(seen) == expected
    assert [float(t[2, 0]) for t in seen] == [v + 200 for v in expected]


@pytest.mark.parametrize(("steps", "expected"), [(0, [1, 2, 3, 4]), (1, [0, 1, 2, 3]), (3, [0, 0, 0, 1])])
def test_an_action_comes_late_and_the_robot_idles_until_then(steps, expected):
    signal = ActionDelay(steps).start(draws(), LAYOUT)
    assert first_row([signal.act(action.expand(3, 3)) for action in numbers(1, 2, 3, 4)]) == expected


def test_a_delay_line_keeps_values_not_buffers():
    """A simulator reuses its buffers: what was put in must not change afterwards."""
    line, buffer = DelayLine(1), torch.ones(1)
    line(buffer)
    buffer.fill_(2.0)
    assert float(line(buffer)) == 1.0


def test_half_steps_are_refused():
    with pytest.raises(ZprlError, match="no whole number"):
        ObservationDelay(1.5).start(draws(), LAYOUT)


def test_a_lost_observation_is_the_last_one_that_arrived():
    steps, probability = 2000, 0.3
    lost = draws(steps=steps).uniform(steps + 1, 1)[:, :, 0] < probability
    signal = DroppedObservations(probability).start(draws(steps=steps), LAYOUT)
    expected, seen = [math.nan] * 3, []
    for t in range(steps):
        obs = torch.full((3, 1), float(t))
        got = signal.observe(obs)
        for row in range(3):
            if t == 0 or not lost[row, t]:
                expected[row] = float(t)
            assert float(got[row, 0]) == expected[row]
        seen.append(got[:, 0].clone())
    share = (torch.stack(seen)[1:] < torch.arange(1, steps)[:, None]).float().mean()
    assert float(share) == pytest.approx(probability, abs=0.02)


def test_noise_has_its_standard_deviation_and_is_fresh_at_each_step():
    signal = ObservationNoise(0.2).start(draws(steps=400), LAYOUT)
    noise = torch.stack([signal.observe(torch.ones(3, 21)) - 1.0 for _ in range(400)])
    assert float(noise.std()) == pytest.approx(0.2, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.01)
    a, b = noise[:-1].flatten(), noise[1:].flatten()
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.03


def test_a_bias_stays_and_is_within_its_limit():
    signal = ObservationBias(0.3).start(draws(range(200), 200), LAYOUT)
    first, second = (signal.observe(torch.zeros(200, 21)) for _ in range(2))
    assert torch.equal(first, second)
    assert float(first.abs().max()) <= 0.3
    assert float(first.std()) == pytest.approx(0.6 / math.sqrt(12.0), rel=0.05)


def test_an_episodes_draws_do_not_depend_on_the_others():
    together = draws(range(5), 8).normal(4, 2)
    alone = draws(range(3, 4), 1).normal(4, 2)
    assert torch.equal(together[3], alone[0])
    assert not together[5:].any()
    assert not torch.equal(draws(seed=1).normal(4), draws(seed=0).normal(4))


def test_an_object_pose_error_is_one_error_seen_from_two_frames():
    """The hand at (0.4, 0, 0.3), turned by 90 degrees about z and then upside down; the object at (0.5, 0.1, 0.03)."""
    hand = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])  # columns are its axes
    hand_position, position = torch.tensor([0.4, 0.0, 0.3]), torch.tensor([0.5, 0.1, 0.03])
    obs = torch.cat([hand_position, hand[:, 0], hand[:, 1], position, torch.eye(3)[0], torch.eye(3)[1]])
    obs = torch.cat([obs, hand.T @ (position - hand_position)]).expand(3, -1)

    seen = ObjectPoseError(position=0.02, yaw=0.3).start(draws(), LAYOUT).observe(obs)
    terms = term_slices(LAYOUT)
    assert torch.equal(seen[:, terms["ee_pose"]], obs[:, terms["ee_pose"]])
    moved = seen[:, terms["object_pose"]]
    shift = moved[:, :3] - position
    torch.testing.assert_close(shift.norm(dim=1), torch.full((3,), 0.02))
    assert not torch.allclose(shift[0], shift[1])
    for row in range(3):
        expected = hand.T @ (moved[row, :3] - hand_position)
        torch.testing.assert_close(seen[row, terms["object_in_ee_frame"]], expected)
        x, y = moved[row, 3:6], moved[row, 6:9]
        angle = math.atan2(float(x[1]), float(x[0]))
        assert 0.0 < abs(angle) <= 0.3
        torch.testing.assert_close(x, torch.tensor([math.cos(angle), math.sin(angle), 0.0]))
        torch.testing.assert_close(y, torch.tensor([-math.sin(angle), math.cos(angle), 0.0]))


def test_an_object_pose_error_needs_an_object():
    layout = EnvLayout("Test", (("ee_pose", 9),), (("arm", 3),), 0.05)
    with pytest.raises(ZprlError, match="no observation term object_pose"):
        ObjectPoseError().start(draws(), layout)


def test_a_push_comes_once_between_a_quarter_and_a_whole_second(monkeypatch):
    import isaaclab.envs.mdp as mdp

    pushes, now = [], [0]

    class Env:
        device = "cpu"

    monkeypatch.setattr(
        mdp,
        "push_by_setting_velocity",
        lambda env, ids, ranges, asset: pushes.append((now[0], int(ids[0]), ranges, asset.name)),
        raising=False,
    )
    signal = ObjectPush(0.4).start(draws(range(40), 40), LAYOUT)
    for step in range(50):
        now[0] = step
        signal.disturb(Env())  # type: ignore[arg-type]
    assert sorted(row for _, row, _, _ in pushes) == list(range(40))
    assert all(5 <= step < 20 and name == "object" for step, _, _, name in pushes)
    for _, _, ranges, _ in pushes:
        assert math.hypot(ranges["x"][0], ranges["y"][0]) == pytest.approx(0.4, rel=1e-5)
        assert ranges["x"][0] == ranges["x"][1]


@pytest.mark.parametrize("name", [n for n, d in DISTURBANCES.items() if not d.changes_world and d.physics is None])
def test_no_strength_is_no_disturbance(name):
    signal = DISTURBANCES[name].with_strength(0.0).start(draws(), LAYOUT)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        obs, action = torch.randn(3, 21, generator=generator), torch.randn(3, 3, generator=generator)
        assert torch.equal(signal.observe(obs.clone()), obs)
        assert torch.equal(signal.act(action.clone()), action)


def test_factors_say_what_they_change():
    (function, params), *_ = ObjectMass(4.0).events().values()
    assert (function, params["mass_distribution_params"]) == ("randomize_rigid_body_mass", (0.25, 4.0))
    assert [p["static_friction_range"] for _, p in Friction(0.3).events().values()] == [(0.3, 0.6)] * 2
    ((_, params),) = Gains(2.0).events().values()
    assert params["stiffness_distribution_params"] == params["damping_distribution_params"] == (0.5, 2.0)
    assert ObjectMass().changes_world
    assert not Undisturbed().changes_world


def test_names_are_parsed_and_the_reference_comes_first():
    chosen = parse_disturbances("action_delay=2, friction,action_delay=3")
    assert list(chosen) == ["none", "action_delay=2", "friction", "action_delay=3"]
    assert chosen["action_delay=2"] == ActionDelay(2.0)
    assert chosen["friction"] == Friction()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wind", "'wind' is unknown; choose from none, observation_noise"),
        ("action_delay=fast", "'fast' of action_delay"),
        ("action_delay=-1", "'-1'"),
        ("object_push=inf", "'inf'"),
        ("object_push=nan", "'nan'"),
        ("object_mass=0.5", "below 1"),
    ],
)
def test_names_and_strengths_that_make_no_sense_are_refused(text, words):
    with pytest.raises(ZprlError, match=words):
        parse_disturbances(text)
