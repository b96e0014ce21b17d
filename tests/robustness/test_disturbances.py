# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Disturbances against sequences computed by hand; no simulator runs."""

import contextlib
import math
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
import torch

from zprl.envs.task_env import Step
from zprl.robustness.catalogue import DEFAULT_NAMES, DISTURBANCES, disturbances_of, parse_disturbances
from zprl.robustness.disturbances import (
    ActionDelay,
    DelayLine,
    Draws,
    DroppedObservations,
    KickOrShift,
    ObjectPoseError,
    ObjectPush,
    ObservationBias,
    ObservationDelay,
    ObservationNoise,
    Undisturbed,
    state_places,
)
from zprl.robustness.disturbed_worlds import Friction, Gains, ObjectMass
from zprl.robustness.evaluator import DisturbedEnv, DisturbedEvaluator
from zprl.spec import ActionTerm, Feature, Group, TaskSpec
from zprl.utils.errors import ZprlError

ACTIONS = (ActionTerm.uniform("arm", 2), ActionTerm.uniform("gripper", 1, idle=0.5))
STATE = Group.vector("policy", (("ee_pose", 9), ("object_pose", 9), ("object_in_ee_frame", 3)))
CAMERA = Group("camera", (Feature("camera", (4, 4, 3), "image", "uint8"),))
SPEC = TaskSpec("Test", (STATE,), ACTIONS, 0.05, ("ee_pose",))

TARGETS = SimpleNamespace(
    object_name="mug",
    object_pose_terms=["object_pose"],
    object_position_terms={"object_in_ee_frame": "ee_pose"},
    fingers={"robot": ["tip.*"]},
    arm_joints={"robot": ["joint.*"]},
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
    signal = ObservationDelay(steps).start(draws(), SPEC)
    seen = [signal.observe(obs) for obs in numbers(1, 2, 3, 4)]
    assert first_row(seen) == expected
    assert [float(t[2, 0]) for t in seen] == [v + 200 for v in expected]


@pytest.mark.parametrize(("steps", "expected"), [(0, [1, 2, 3, 4]), (1, [0.0, 1, 2, 3]), (3, [0.0, 0.0, 0.0, 1])])
def test_an_action_comes_late_and_the_robot_idles_until_then(steps, expected):
    signal = ActionDelay(steps).start(draws(), SPEC)
    done = [signal.act(action.expand(3, 3)) for action in numbers(1, 2, 3, 4)]
    assert first_row(done) == expected
    assert [float(action[0, 2]) for action in done] == [value or 0.5 for value in expected]  # how the gripper idles


def test_a_delay_line_keeps_values_not_buffers():
    """A simulator reuses its buffers: what was put in must not change afterwards."""
    line, buffer = DelayLine(1), torch.ones(1)
    line(buffer)
    buffer.fill_(2.0)
    assert float(line(buffer)) == 1.0


def test_half_steps_are_refused():
    with pytest.raises(ZprlError, match="no whole number"):
        ObservationDelay(1.5).start(draws(), SPEC)


def test_a_lost_observation_is_the_last_one_that_arrived():
    steps, probability = 2000, 0.3
    lost = draws(steps=steps).uniform(steps + 1, 1)[:, :, 0] < probability
    signal = DroppedObservations(probability).start(draws(steps=steps), SPEC)
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
    signal = ObservationNoise(0.2).start(draws(steps=400), SPEC)
    noise = torch.stack([signal.observe(torch.ones(3, 21)) - 1.0 for _ in range(400)])
    assert float(noise.std()) == pytest.approx(0.2, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.01)
    a, b = noise[:-1].flatten(), noise[1:].flatten()
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.03


def test_a_bias_stays_and_is_within_its_limit():
    signal = ObservationBias(0.3).start(draws(range(200), 200), SPEC)
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

    seen = ObjectPoseError(position=0.02, yaw=0.3).start(draws(), SPEC, TARGETS).observe(obs)
    terms = dict(state_places(SPEC))
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
    spec = TaskSpec("Test", (Group.vector("policy", (("ee_pose", 9),)),), ACTIONS, 0.05)
    with pytest.raises(ZprlError, match="no observation term object_pose"):
        ObjectPoseError().start(draws(), spec, TARGETS)
    with pytest.raises(ZprlError, match="no observation term with an object pose"):
        ObjectPoseError().start(draws(), SPEC)


def test_an_object_pose_error_needs_the_frame_that_the_object_is_seen_in():
    terms = (("object_pose", 9), ("object_in_ee_frame", 3))
    spec = TaskSpec("Test", (Group.vector("policy", terms),), ACTIONS, 0.05)
    with pytest.raises(ZprlError, match="does not see ee_pose"):
        ObjectPoseError().start(draws(), spec, TARGETS)


def test_a_push_comes_once_between_a_quarter_and_a_whole_second(monkeypatch):
    import isaaclab.envs.mdp as mdp

    pushes, now = [], [0]

    class Env:
        device = "cpu"
        unwrapped = "the world"

    monkeypatch.setattr(
        mdp,
        "push_by_setting_velocity",
        lambda env, ids, ranges, asset: pushes.append((now[0], int(ids[0]), ranges, f"{asset.name} of {env}")),
        raising=False,
    )
    signal = ObjectPush(0.4).start(draws(range(40), 40), SPEC, TARGETS)
    for step in range(50):
        now[0] = step
        signal.disturb(Env())  # type: ignore[arg-type]
    assert sorted(row for _, row, _, _ in pushes) == list(range(40))
    assert all(5 <= step < 20 and name == "mug of the world" for step, _, _, name in pushes)
    for _, _, ranges, _ in pushes:
        assert math.hypot(ranges["x"][0], ranges["y"][0]) == pytest.approx(0.4, rel=1e-5)
        assert ranges["x"][0] == ranges["x"][1]
    with pytest.raises(ZprlError, match="does not say which object could be pushed"):
        ObjectPush().start(draws(), SPEC)


class Thing:
    """A rigid body in some worlds, whose state is written at once and without a simulator."""

    def __init__(self, worlds):
        pose, velocity = torch.zeros(worlds, 7), torch.zeros(worlds, 6)
        pose[:, :3], pose[:, 6], velocity[:, 0] = torch.tensor([0.5, 0.2, 0.1]), 1.0, 0.05
        self.data = SimpleNamespace(
            root_link_pose_w=SimpleNamespace(torch=pose), root_vel_w=SimpleNamespace(torch=velocity)
        )

    def write_root_pose_to_sim_index(self, root_pose, env_ids):
        self.data.root_link_pose_w.torch[env_ids] = root_pose

    def write_root_velocity_to_sim_index(self, root_velocity, env_ids):
        self.data.root_vel_w.torch[env_ids] = root_velocity


def kicks_and_shifts(disturbance, episodes=range(400), seed=0):
    """Return what a disturbance does to still things: changes of velocity and of place (episodes, 2), and when."""
    worlds, length = len(episodes), 90
    scene = {"mug": Thing(worlds), "stand": Thing(worlds)}
    env: Any = SimpleNamespace(unwrapped=SimpleNamespace(scene=scene), max_episode_length=length)
    signal = disturbance.start(draws(episodes, worlds, length, seed), SPEC, TARGETS)
    when, changes = torch.full((worlds,), -1), torch.zeros(2, worlds, 2)
    for step in range(length):
        signal.disturb(env)
        velocity = scene["mug"].data.root_vel_w.torch - torch.tensor([0.05, 0, 0, 0, 0, 0])
        moved = scene["stand"].data.root_link_pose_w.torch - torch.tensor([0.5, 0.2, 0.1, 0, 0, 0, 1])
        assert not velocity[:, 2:].any() and not moved[:, 2:].any()
        before, changes = changes, torch.stack([velocity[:, :2], moved[:, :2]])
        changed = (changes != before).any(dim=2).any(dim=0)
        assert (when[changed] == -1).all()  # once
        when[changed] = step
    assert not scene["mug"].data.root_link_pose_w.torch[:, :3].sub(torch.tensor([0.5, 0.2, 0.1])).any()
    return changes[0], changes[1], when


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_in_the_middle_third_the_object_is_kicked_or_the_fixture_shifted(scale):
    kicks, shifts, when = kicks_and_shifts(KickOrShift(scale, "stand"))
    assert int(when.min()) == 30 and int(when.max()) == 59  # of 90 steps
    speeds, distances = kicks.norm(dim=1), shifts.norm(dim=1)
    kicked = speeds > 0
    assert torch.equal(kicked, distances == 0)  # either, and never both
    assert 0.4 < float(kicked.float().mean()) < 0.6
    for sizes, low, high, change in (
        (speeds[kicked], 0.2, 0.4, kicks[kicked]),
        (distances[~kicked], 0.02, 0.04, shifts[~kicked]),
    ):
        assert float(sizes.min()) == pytest.approx(scale * low, rel=0.02)
        assert float(sizes.max()) == pytest.approx(scale * high, rel=0.02)
        assert float(change.mean(dim=0).norm()) < 0.15 * scale * high  # no direction is preferred


def test_where_there_is_no_fixture_the_object_is_always_kicked():
    kicks, shifts, when = kicks_and_shifts(KickOrShift(kick=(0.5, 0.5)))
    assert not shifts.any() and int(when.min()) == 30 and int(when.max()) == 59
    torch.testing.assert_close(kicks.norm(dim=1), torch.full((400,), 0.5), atol=1e-5, rtol=0)


def test_an_episode_is_disturbed_the_same_whatever_is_beside_it():
    together = kicks_and_shifts(KickOrShift(fixture="stand"), range(10))
    alone = kicks_and_shifts(KickOrShift(fixture="stand"), range(7, 8))
    for several, one in zip(together, alone, strict=True):
        assert torch.equal(several[..., 7:8, :] if several.dim() == 2 else several[7:8], one)
    other = kicks_and_shifts(KickOrShift(fixture="stand"), range(7, 8), seed=1)
    assert not torch.equal(alone[0] + alone[1], other[0] + other[1])


def test_a_kick_needs_an_object():
    with pytest.raises(ZprlError, match="task Test does not say which object could be kicked"):
        KickOrShift(fixture="stand").start(draws(), SPEC)


@pytest.mark.parametrize("name", [n for n, d in DISTURBANCES.items() if not d.changes_world and d.physics is None])
def test_no_strength_is_no_disturbance(name):
    signal = DISTURBANCES[name].with_strength(0.0).start(draws(), SPEC, TARGETS)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        obs, action = torch.randn(3, 21, generator=generator), torch.randn(3, 3, generator=generator)
        assert torch.equal(signal.observe(obs.clone()), obs)
        assert torch.equal(signal.act(action.clone()), action)


def test_factors_say_what_they_change():
    (mass,) = ObjectMass(4.0).events(TARGETS).values()
    assert mass.func.__name__ == "randomize_rigid_body_mass"
    assert mass.params["mass_distribution_params"] == (0.25, 4.0)
    frictions = Friction(0.3).events(TARGETS).values()
    assert [term.params["static_friction_range"] for term in frictions] == [(0.3, 0.6)] * 2
    (gains,) = Gains(2.0).events(TARGETS).values()
    params = gains.params
    assert params["stiffness_distribution_params"] == params["damping_distribution_params"] == (0.5, 2.0)
    assert ObjectMass().changes_world
    assert not Undisturbed().changes_world


def entities(disturbance, targets):
    """Return what a disturbance changes as (name in the scene, bodies, joints), in order."""
    changed = [term.params["asset_cfg"] for term in disturbance.events(targets).values()]
    return [(entity.name, entity.body_names, entity.joint_names) for entity in changed]


def test_the_task_says_what_is_changed():
    assert entities(ObjectMass(), TARGETS) == [("mug", None, None)]
    assert entities(Friction(), TARGETS) == [("mug", None, None), ("robot", ["tip.*"], None)]
    assert entities(Gains(), TARGETS) == [("robot", None, ["joint.*"])]
    two = SimpleNamespace(object_name="mug", fingers={}, arm_joints={"left": ["a"], "right": ["b", "c"]})
    assert entities(Gains(), two) == [("left", None, ["a"]), ("right", None, ["b", "c"])]


@pytest.mark.parametrize(
    ("disturbance", "targets", "words"),
    [
        (ObjectMass(), {"object_name": None}, "has no object"),
        (Friction(), {"object_name": "mug", "fingers": {}}, "has no fingers"),
        (Gains(), {"arm_joints": {}}, "has no arm"),
        (ObjectMass(), {"object_name": "mug"}, "has no mug"),
        (ObjectMass(), None, "does not say what of it can be disturbed"),
    ],
)
def test_a_task_that_lacks_what_is_changed_is_refused(disturbance, targets, words):
    cfg = SimpleNamespace(scene=SimpleNamespace(), events=SimpleNamespace())
    if targets is not None:
        cfg.disturbance_targets = SimpleNamespace(**targets)
    with pytest.raises(ZprlError, match=words):
        disturbance.configure(cfg)


def test_names_are_parsed_and_the_reference_comes_first():
    chosen = parse_disturbances("action_delay=2, friction,action_delay=3")
    assert list(chosen) == ["none", "action_delay=2", "friction", "action_delay=3"]
    assert chosen["action_delay=2"] == ActionDelay(2.0)
    assert chosen["friction"] == Friction()


OWN = {"shelf": KickOrShift(fixture="shelf")}
TAKEN, NUMBER = {"friction": Friction()}, {"number": 3}


@pytest.fixture
def bringing():
    """Give a function that registers a task with disturbances; it goes again."""
    name = "Zprl-Test-Disturbed"

    def register(place):
        gymnasium.register(name, entry_point="no:thing", kwargs={"disturbances_entry_point": place})
        return name

    yield register
    gymnasium.registry.pop(name, None)


def test_a_task_brings_disturbances_along(bringing):
    own = disturbances_of(bringing(f"{__name__}:OWN"))
    assert own == OWN
    chosen = parse_disturbances("shelf=0.5,friction", own)
    assert list(chosen) == ["none", "shelf=0.5", "friction"]
    assert chosen["shelf=0.5"] == KickOrShift(0.5, "shelf")
    with pytest.raises(ZprlError, match=r"'wind' is unknown; choose from none, .*, mujoco_warp, shelf"):
        parse_disturbances("wind", own)
    assert list(parse_disturbances(None, own)) == ["none", *DEFAULT_NAMES.split(","), "shelf"]
    assert list(parse_disturbances(None)) == ["none", *DEFAULT_NAMES.split(",")]
    with pytest.raises(ZprlError, match="'shelf' is unknown"):
        parse_disturbances("shelf")
    assert disturbances_of("Zprl-Test-Nowhere") == {}


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("zprl.nowhere:OWN", "which cannot be found: No module named 'zprl.nowhere'"),
        (f"{__name__}:NOTHING", "which cannot be found: "),
        (f"{__name__}:SPEC", "which cannot be found: "),
        (f"{__name__}:TAKEN", "'friction' of task Zprl-Test-Disturbed has the name of one of all tasks"),
        (f"{__name__}:NUMBER", "'number' of task Zprl-Test-Disturbed is no zprl.robustness.Disturbance"),
    ],
)
def test_disturbances_that_a_task_cannot_bring_along_are_refused(bringing, place, words):
    with pytest.raises(ZprlError, match=words):
        disturbances_of(bringing(place))


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


# -- between environment and policy


class Worlds:
    """Two worlds that show the step's number in every element, and remember what they were told."""

    num_envs, device, max_episode_length, staggers, tells_final_observations = 2, "cpu", 6, False, True
    critic = Group.vector("critic", (("speed", 1),), "privileged")
    spec = TaskSpec("Test", (STATE, CAMERA, critic), ACTIONS, 0.05, ("ee_pose",))

    def __init__(self):
        self.elapsed = torch.zeros(2, dtype=torch.long)
        self.actions = []
        self.seeds = None
        self.buffers = self.spec.zeros(2)

    def observations(self):
        for buffer in self.buffers.values():
            buffer.fill_(int(self.elapsed[0]))
        return self.buffers

    def reset(self, seed=None):
        return self.reset_to([seed])

    def reset_to(self, seeds):
        self.seeds = seeds
        self.elapsed.zero_()
        return self.observations()

    def step(self, action):
        self.actions.append(action.clone())
        self.elapsed += 1
        done, no = self.elapsed >= self.max_episode_length, torch.zeros(2, dtype=torch.bool)
        return Step(self.observations(), torch.zeros(2), no, done, no, no, self.buffers)

    def noiseless(self):
        return contextlib.nullcontext()

    def close(self):
        self.closed = True


class Watcher:
    """A policy that acts in chunks of two and remembers what it saw."""

    execute_steps = 2

    def __init__(self):
        self.seen = []

    def begin_episodes(self):
        self.seen.clear()

    def __call__(self, obs, noise=None):
        self.seen.append({name: float(value.flatten()[0]) for name, value in obs.items()})
        return torch.full((2, 3, 3), len(self.seen) / 10)


def evaluate(disturbance, groups=("policy",), env=None):
    env = env or Worlds()
    watcher = Watcher()
    results = DisturbedEvaluator(env, env.spec.seen_by(groups), 2, disturbance, TARGETS).run(watcher, 2, seed=0)
    return env, watcher, results


def test_only_what_the_policy_reads_is_disturbed_and_positions_are_the_true_ones():
    _, watcher, results = evaluate(ObservationDelay(3))
    assert watcher.seen == [
        {"policy": 0.0, "camera": 0.0, "critic": 0.0},
        {"policy": 0.0, "camera": 2.0, "critic": 2.0},
        {"policy": 1.0, "camera": 4.0, "critic": 4.0},
    ]
    assert results.steps == [6, 6]
    for trace in results.positions:
        assert trace[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_all_state_groups_that_the_policy_reads_are_disturbed_as_one_vector():
    noise = draws(range(2), 2, steps=8).normal(9, 22)
    env, spec = Worlds(), Worlds.spec.seen_by(["policy", "critic"])
    disturbed = DisturbedEnv(env, spec)
    disturbed.signal = ObservationNoise(0.1).start(draws(range(2), 2, steps=8), spec)
    seen = disturbed.reset_to([1, 2])
    assert env.seeds == [1, 2]
    torch.testing.assert_close(seen["policy"], 0.1 * noise[:, 0, :21])
    torch.testing.assert_close(seen["critic"], 0.1 * noise[:, 0, 21:])
    assert seen["camera"].dtype == torch.uint8


def test_actions_are_delayed_and_the_environment_is_still_one():
    env, _, _ = evaluate(ActionDelay(1), groups=("policy", "camera"))
    assert [round(float(action[0, 0]), 3) for action in env.actions] == [0.0, 0.1, 0.1, 0.2, 0.2, 0.3]
    assert float(env.actions[0][0, 2]) == 0.5
    disturbed = DisturbedEnv(env, env.spec)
    disturbed.elapsed = torch.ones(2)
    assert env.elapsed.tolist() == [1, 1]
    assert disturbed.spec is env.spec
    step = disturbed.step(torch.zeros(2, 3))
    assert step.final_observations is None and not disturbed.tells_final_observations
    disturbed.close()
    assert env.closed


@pytest.mark.parametrize("name", [name for name, d in DISTURBANCES.items() if d.observes])
def test_images_cannot_be_disturbed_yet(name):
    with pytest.raises(ZprlError, match="images such as camera, which this policy sees, cannot be disturbed yet"):
        evaluate(DISTURBANCES[name], groups=("policy", "camera"))
    evaluate(DISTURBANCES[name], groups=("policy",))


def test_what_changes_observations_says_so():
    changing = {name for name, d in DISTURBANCES.items() if d.observes}
    assert changing == {
        "observation_noise", "observation_bias", "observation_delay", "dropped_observations", "object_pose_error",
    }  # fmt: skip
