# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Vector environments of Gymnasium as task environments: one rule for all of its autoreset modes."""

import functools
import random
from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

from zprl.envs.task_env import episode_seed
from zprl.evaluation.rollout import Evaluator
from zprl.sim.gymnasium import GymnasiumEnv
from zprl.spec import ActionTerm, Feature, Group
from zprl.utils.errors import ZprlError

LENGTH = 3
SAME, NEXT, DISABLED = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
STATE = spaces.Box(-np.inf, np.inf, (2,), np.float64)
IMAGE = spaces.Box(0, 255, (2, 3, 3), np.uint8)


class Count(gymnasium.Env):
    """Counts its steps from a random start; it ends in success by an action above 0.5, and by time after LENGTH."""

    metadata = {"render_fps": 20}
    action_space = spaces.Box(np.array([-1.0, 0.25], np.float32), np.array([1.0, np.inf], np.float32))
    observation_space = spaces.Dict({"policy": spaces.Dict({"start": STATE, "time": STATE}), "camera": IMAGE})

    def __init__(self, tells="always", truth=bool):
        self.tells, self.truth = tells, truth

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.start = 0, self.np_random.random()
        return self.observation(), {"success": True}  # said of the fresh episode, so nobody may take it for the last

    def observation(self):
        state = {"start": np.full(2, self.start), "time": np.full(2, self.time)}
        return {"policy": state, "camera": np.full((2, 3, 3), self.time, np.uint8)}

    def step(self, action):
        self.time += 1
        success = bool(action[0] > 0.5)
        truncated = self.time >= LENGTH
        told = self.tells == "always" or (self.tells == "at ends" and (success or truncated))
        info = {"success": self.truth(success)} if told else {}
        return self.observation(), 0.5 * self.time, success, truncated, info


def make(
    mode=SAME,
    worlds=2,
    kind: type[SyncVectorEnv] | type[AsyncVectorEnv] = SyncVectorEnv,
    length=LENGTH,
    count: Callable[[], gymnasium.Env] = Count,
    settings=None,
    **vector_settings,
):
    env = kind([count] * worlds, autoreset_mode=mode, **vector_settings)
    return GymnasiumEnv("Count", env, max_episode_length=length, **settings or {})


def starts(seed, count):
    """Return the starts that a world draws one after another."""
    generator = seeding.np_random(seed)[0]
    return [generator.random() for _ in range(count)]


def act(env, *values):
    return env.step(torch.tensor([[value, 1.0] for value in values]))


# -- what is seen and done


def test_a_dict_of_boxes_is_groups_and_images():
    spec = make().spec
    state = Group("policy", (Feature("start", (2,)), Feature("time", (2,))))
    assert spec.groups == (Group("camera", (Feature("camera", (2, 3, 3), "image", "uint8"),)), state)
    assert spec.actions == (ActionTerm("action", (-1.0, 0.25), (1.0, np.inf), (0.0, 0.25)),)
    assert spec.step_dt == pytest.approx(0.05)
    obs = make().reset(0)
    assert obs["camera"].dtype == torch.uint8
    assert obs["camera"].shape == (2, 2, 3, 3)
    assert obs["policy"].dtype == torch.float32
    assert obs["policy"].shape == (2, 4)


def test_a_plain_box_is_the_group_policy_and_a_spec_says_the_rest():
    env = GymnasiumEnv("Pendulum-v1", gymnasium.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync"))
    assert env.spec.groups == (Group("policy", (Feature("policy", (3,)),)),)
    assert env.spec.actions == (ActionTerm("action", (-2.0,), (2.0,), (0.0,)),)
    assert env.max_episode_length == 200
    assert env.spec.step_dt == pytest.approx(1 / 30)
    env = GymnasiumEnv("P", SyncVectorEnv([lambda: gymnasium.make("Pendulum-v1")] * 2))
    assert env.max_episode_length == 200


def test_privileged_groups_tracked_points_and_the_idle_action_are_given():
    class Known(Count):
        observation_space = spaces.Dict({"hand": spaces.Box(-1, 1, (4,), np.float32), "truth": STATE})

        def observation(self):
            return {"hand": np.arange(4, dtype=np.float32), "truth": np.zeros(2)}

    settings = {"privileged": ["truth"], "tracked": ["hand"], "idle_action": [0.5, 2.0]}
    env = make(count=Known, settings=settings)
    assert [group.kind for group in env.spec.groups] == ["state", "privileged"]
    assert env.spec.idle_action().tolist() == [0.5, 2.0]
    points = env.spec.positions(env.reset(0))
    assert points is not None
    assert points.tolist() == [[[0.0, 1.0, 2.0]]] * 2


# -- ends of episodes


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(SyncVectorEnv, SAME), (SyncVectorEnv, NEXT), (SyncVectorEnv, DISABLED), (AsyncVectorEnv, SAME),
     (AsyncVectorEnv, NEXT), (AsyncVectorEnv, DISABLED)],
)  # fmt: skip
def test_a_world_begins_the_next_episode_within_the_step(kind, mode):
    env = make(mode, kind=kind)
    try:
        first, second = starts(7, 3), starts(8, 3)
        assert env.reset_to([7, 8])["policy"].tolist() == pytest.approx(
            np.array([[first[0]] * 2 + [0, 0], [second[0]] * 2 + [0, 0]], np.float32)
        )

        def check(step, times, begun, terminated, truncated, success, final):
            expected = [[a, a, t, t] for a, t in zip((first[begun[0]], second[begun[1]]), times, strict=True)]
            torch.testing.assert_close(step.observations["policy"], torch.tensor(expected))
            assert step.observations["camera"][:, 0, 0, 0].tolist() == times
            assert env.elapsed.tolist() == times
            assert step.terminated.tolist() == terminated
            assert step.truncated.tolist() == truncated
            assert step.success.tolist() == success
            if final is None:
                assert step.final_observations is None
            for world, (start, time) in (final or {}).items():
                last = step.final_observations
                assert last is not None
                torch.testing.assert_close(last["policy"][world], torch.tensor([start, start, time, time]))
                assert last["camera"][world].unique().tolist() == [time]

        no = [False, False]
        step = act(env, 0.0, 0.0)
        check(step, [1, 1], [0, 0], no, no, no, None)
        assert step.reward.tolist() == [0.5, 0.5]
        step = act(env, 1.0, 0.0)  # a success in one world
        check(step, [0, 2], [1, 0], [True, False], no, [True, False], {0: (first[0], 2), 1: (second[0], 2)})
        assert step.reward.tolist() == [1.0, 1.0]
        step = act(env, 0.0, 0.0)  # the other one runs out of time, while the first one goes on: no step is lost
        check(step, [1, 0], [1, 1], no, [False, True], no, {0: (first[1], 1), 1: (second[0], 3)})
        assert not step.diverged.any()
        check(act(env, 0.0, 0.0), [2, 1], [1, 1], no, no, no, None)
        step = act(env, 1.0, 1.0)  # in time and out of time at once
        check(step, [0, 0], [2, 2], [True, True], [True, False], [True, True], {0: (first[1], 3), 1: (second[1], 2)})
    finally:
        env.close()
        env.close()


def test_final_observations_are_not_the_buffers_of_the_environment():
    for mode in (NEXT, DISABLED, SAME):
        env = make(mode, copy=False)
        env.reset(0)
        steps = [act(env, 1.0, 0.0) for _ in range(2)]
        for step in steps:
            assert step.final_observations is not None
            assert step.final_observations["policy"][0, 2:].tolist() == [1.0, 1.0]
            assert step.final_observations["camera"][0].unique().tolist() == [1]


@pytest.mark.parametrize("mode", [SAME, NEXT])
@pytest.mark.parametrize("truth", [bool, float, np.bool_, np.float32])
def test_success_may_be_told_at_ends_only_and_as_any_truth(mode, truth):
    env = make(mode, count=functools.partial(Count, "at ends", truth))
    env.reset(0)
    assert act(env, 1.0, 0.0).success.tolist() == [True, False]
    assert act(env, 0.0, 0.0).success.tolist() == [False, False]
    step = act(env, 0.0, 0.0)
    assert step.success.tolist() == [False, False]
    assert step.truncated.tolist() == [False, True]


@pytest.mark.parametrize("mode", [SAME, NEXT, DISABLED])
def test_an_environment_that_never_tells_success_is_refused_at_the_first_end(mode):
    env = make(mode, count=functools.partial(Count, "never"))
    env.reset(0)
    act(env, 0.0, 0.0)
    with pytest.raises(ZprlError, match=r'ended, and the environment does not say in info\["success"\]'):
        act(env, 1.0, 0.0)


def test_success_may_have_another_name():
    env = make(settings={"success_key": "is_success"})
    env.reset(0)
    with pytest.raises(ZprlError, match=r'info\["is_success"\]'):
        act(env, 1.0, 0.0)


def test_an_episode_longer_than_the_longest_is_refused():
    env = make(length=2)
    env.reset(0)
    act(env, 0.0, 0.0)
    with pytest.raises(ZprlError, match="goes on after 2 steps"):
        act(env, 0.0, 0.0)


def test_nothing_can_begin_with_used_up_time():
    env = make()
    assert not env.staggers
    with pytest.raises(ZprlError, match="used-up time"):
        env.elapsed = torch.ones(2)


# -- seeds


def global_state():
    return random.random(), np.random.random(), torch.rand(1).item()


def test_a_seed_settles_the_worlds_and_all_generators():
    env = make(worlds=4)
    first, drawn = env.reset(3)["policy"], global_state()
    assert torch.equal(env.reset(3)["policy"], first)
    assert global_state() == drawn
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    assert global_state() == drawn
    following = env.reset(4)["policy"]
    assert len({*first[:, 0].tolist(), *following[:, 0].tolist()}) == 8  # seeds next to each other share no world
    assert not torch.equal(env.reset()["policy"], following)  # without a seed the generators go on


@pytest.mark.parametrize("mode", [SAME, NEXT, DISABLED])
def test_a_start_depends_on_its_seed_alone_and_disturbs_nothing(mode):
    expected = torch.tensor([starts(seed, 1)[0] for seed in (5, 9, 11)])
    for worlds in (3, 5):
        env = make(mode, worlds)
        env.reset(0)
        act(env, *[1.0] * worlds)  # in the middle of episodes
        expected_state = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
        obs = env.reset_to([5, 9, 11])
        assert [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()] == expected_state
        assert torch.equal(obs["policy"][:3, 0], expected)
        assert (obs["policy"][3:, 0] == expected[-1]).all()  # the rest repeat the last
        assert env.elapsed.tolist() == [0] * worlds


def test_one_world_may_draw_from_global_generators():
    class Careless(Count):
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.start = random.random() + np.random.random() + torch.rand(1).item()
            return self.observation(), {}

    env = make(worlds=1, count=Careless)
    first = env.reset_to([5])["policy"]
    global_state()
    assert torch.equal(env.reset_to([5])["policy"], first)
    with pytest.raises(ZprlError, match="begin with different observations policy"):
        make(worlds=2, count=Careless)


def test_an_evaluation_runs_in_it_and_counts_in_waves():
    class Planner:
        execute_steps = 2

        def begin_episodes(self):
            pass

        def __call__(self, obs, noise=None):
            # Succeeds at once where the start is above a half.
            return torch.stack([2 * obs["policy"][:, :1] - 0.5, torch.ones(len(obs["policy"]), 1)], dim=2).expand(
                -1, 2, 2
            )

    expected = [starts(episode_seed(2, i), 1)[0] for i in range(7)]
    for worlds, mode in ((3, SAME), (7, NEXT)):
        results = Evaluator(make(mode, worlds), 2).run(Planner(), 7, seed=2)
        assert results.successes == [start > 0.5 for start in expected]
        assert results.steps == [1 if start > 0.5 else LENGTH for start in expected]


# -- refusals


class Native(VectorEnv):
    """Two worlds that count; a world's start is random. ``faults`` name what is wrong with it."""

    def __init__(self, mode=SAME, faults=()):
        self.metadata = {"autoreset_mode": mode, "render_fps": 10}
        self.num_envs, self.faults = 2, faults
        self.single_observation_space, self.single_action_space = STATE, Count.action_space
        self.observation_space = batch_space(STATE, 2)
        self.action_space = batch_space(Count.action_space, 2)
        self.state = np.zeros((2, 2))

    def reset(self, *, seed=None, options=None):
        if "one seed" in self.faults:
            super().reset(seed=seed)
        if "one generator" in self.faults:
            self._np_random = np.random.default_rng(seed)
        elif seed is not None:
            self.generators = [np.random.default_rng(s) for s in seed]  # type: ignore[union-attr]
        mask = (options or {}).get("reset_mask", np.ones(2, dtype=bool))
        self._begin(np.ones(2, dtype=bool) if "no mask" in self.faults else mask)
        return self.state, {}

    def _begin(self, mask):
        for world in np.flatnonzero(mask):
            generator = self.np_random if "one generator" in self.faults else self.generators[world]
            self.state[world] = [generator.random(), 0.0]

    def step(self, actions):
        self.state[:, 1] += 1
        success = actions[:, 0] > 0.5
        truncated = self.state[:, 1] >= LENGTH
        info = {"success": success[:, None, None] if "odd success" in self.faults else success}
        if self.metadata["autoreset_mode"] is SAME:
            if "no final" not in self.faults:
                info["final_obs"] = self.state.copy()
            self._begin(success | truncated)
        return self.state, np.ones(2), success, truncated, info


def native(mode=SAME, *faults):
    return GymnasiumEnv("Native", Native(mode, faults), max_episode_length=LENGTH)


@pytest.mark.parametrize("mode", [SAME, NEXT, DISABLED])
def test_a_native_environment_may_tell_final_observations_as_a_batch(mode):
    env = native(mode)
    start = env.reset_to([1, 2])["policy"][:, 0].clone()
    step = act(env, 1.0, 0.0)
    assert step.final_observations is not None
    torch.testing.assert_close(step.final_observations["policy"], torch.stack([start, torch.ones(2)], dim=1))
    assert step.observations["policy"][:, 1].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("mode", "fault", "sentence"),
    [
        (SAME, "no final", r'does not tell their last observations in info\["final_obs"\]'),
        (NEXT, "no mask", r'begins new episodes also in worlds that options\["reset_mask"\]'),
        (DISABLED, "no mask", r'begins new episodes also in worlds that options\["reset_mask"\]'),
        (SAME, "odd success", r'info\["success"\] of task Native has shape \(2, 1, 1\)'),
    ],
)
def test_what_is_wrong_at_the_end_of_an_episode_is_said_then(mode, fault, sentence):
    env = native(mode, fault)
    env.reset(0)
    with pytest.raises(ZprlError, match=sentence):
        act(env, 1.0, 0.0)


def test_worlds_without_seeds_of_their_own_are_refused():
    with pytest.raises(ZprlError, match="cannot be reset to a list of seeds"):
        native(SAME, "one seed")
    with pytest.raises(ZprlError, match="begin with different observations policy, although all"):
        native(SAME, "one generator")


def without(name):
    env = Native()
    env.metadata = {key: value for key, value in env.metadata.items() if key != name}
    return env


@pytest.mark.parametrize(
    ("env", "settings", "sentence"),
    [
        (lambda: without("autoreset_mode"), {}, "does not say when it begins new episodes"),
        (lambda: without("render_fps"), {}, "does not say its control period; give step_dt"),
        (Native, {"max_episode_length": None}, "does not say how long its episodes are; give max_episode_length"),
        (Native, {"tracked": ["hand"]}, "is to track hand, which is no feature"),
        (Native, {"tracked": ["policy"]}, "is to track policy, which is no feature of at least three numbers"),
        (Native, {"privileged": ["truth"]}, "does not observe truth, which is to be privileged; it observes policy"),
        (Native, {"idle_action": [0.0, 0.0]}, r"the idle action \[0.0, 0.0\] of task T does not lie in"),
        (Native, {"idle_action": [0.0]}, r"the idle action \[0.0\] of task T does not lie in"),
        (
            lambda: AsyncVectorEnv([Count] * 2, shared_memory=False),
            {},
            "AsyncVectorEnv without shared memory, whose resets AutoresetMode.NEXT_STEP repeats",
        ),
    ],
)
def test_what_the_environment_does_not_say_is_asked_for(env, settings, sentence):
    made = env()
    try:
        with pytest.raises(ZprlError, match=sentence):
            GymnasiumEnv("T", made, **{"max_episode_length": LENGTH, **settings})
    finally:
        made.close()


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.Box(0, 9, (3,), np.int64),
        spaces.Box(-1, 1, (2, 2), np.float32),
        spaces.Box(-1, 1, (), np.float32),
        spaces.Box(0, 9, (2, 2, 3), np.int64),
        spaces.Dict({"policy": STATE, "tool": spaces.MultiBinary(2)}),
        spaces.Dict({"arm": spaces.Dict({"camera": IMAGE})}),
        spaces.Dict({}),
    ],
    ids=str,
)
def test_observations_that_policies_cannot_be_given_are_refused(space):
    env = Native()
    env.single_observation_space = space
    with pytest.raises(ZprlError, match=r"of task T are .*; policies see boxes|does not observe anything"):
        GymnasiumEnv("T", env, max_episode_length=LENGTH)


def test_an_image_is_not_privileged():
    env = Native()
    env.single_observation_space = spaces.Dict({"camera": IMAGE})
    with pytest.raises(ZprlError, match="the observations camera of task T"):
        GymnasiumEnv("T", env, max_episode_length=LENGTH, privileged=["camera"])


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(-1, 1, (2, 2)), spaces.Box(0, 5, (2,), np.int64)])
def test_actions_that_policies_cannot_put_out_are_refused(space):
    env = Native()
    env.single_action_space = space
    with pytest.raises(ZprlError, match=r"the actions of task T are .*; policies put out one box of floats"):
        GymnasiumEnv("T", env, max_episode_length=LENGTH)
