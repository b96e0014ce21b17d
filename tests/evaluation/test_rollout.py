# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An episode's outcome depends on its own seed and on nothing beside it."""

import random

import numpy as np
import pytest
import torch

from zprl.envs.task_env import episode_seed
from zprl.evaluation.rollout import EpisodeResults, Evaluator
from zprl.policies import BasePolicy, Knob
from zprl.steering import StepResidual, StepResidualCfg, steered_chunks
from zprl.utils.processes import share_of

pytestmark = pytest.mark.sim

TASK = "Zprl-Lift-Franka"
OVERRIDES = ["env.terminations.success.params.minimal_height=0.06"]
EPISODES = 8
SEED = 3
CHUNK = 4
NOISE_SHAPE = (8, 7)


def reach(obs, noise=None):
    """Reach for the cube, close the gripper and lift: a plan that computes every row for itself.

    The noise, if there is any, disturbs the arm; the outcome then depends on it.
    """
    fingers, offset = obs[:, 7:9].sum(dim=1), obs[:, 18:21] - obs[:, 9:12]
    level = offset[:, :2].norm(dim=1)
    target = offset.clone()
    target[:, 2] += torch.where(level > 0.015, 0.08, 0.0)
    at_cube = (level < 0.02) & (offset[:, 2].abs() < 0.015)
    grasped = at_cube & (fingers < -0.015)
    target[grasped] = torch.tensor([0.0, 0.0, 0.04])
    action = torch.zeros(len(obs), 7)
    action[:, :3] = (target / 0.04).clamp(-0.7, 0.7)
    action[:, 6] = torch.where(at_cube, -1.0, 1.0)
    chunk = action[:, None].repeat(1, NOISE_SHAPE[0], 1)
    if noise is not None:
        chunk[..., :6] += 0.5 * noise[..., :6]
    return chunk


class Planner:
    """A planner of a function of the state and the noise."""

    execute_steps = CHUNK

    def __init__(self, plan):
        self.plan = plan

    def begin_episodes(self):
        pass

    def __call__(self, obs, noise=None):
        return self.plan(obs["policy"], noise)


class Recorder(Planner):
    """A planner that remembers what it was given."""

    def __init__(self, planner):
        super().__init__(planner.plan)
        self.observations = []
        self.noise = []

    def __call__(self, obs, noise=None):
        self.observations.append(obs["policy"].clone())
        self.noise.append(None if noise is None else noise.clone())
        return super().__call__(obs, noise)


grasp = Planner(reach)
stay = Planner(lambda obs, noise: torch.zeros(len(obs), *NOISE_SHAPE))


class ReachingPolicy(BasePolicy):
    """The same plan as a base policy."""

    horizon, execute_steps = NOISE_SHAPE[0], CHUNK

    def __init__(self, spec):
        self.spec = spec
        self.knobs = {"actions": Knob(self.horizon * self.action_dim, 1.0)}
        limit = torch.full((self.action_dim,), torch.inf)
        self.action_low, self.action_high = -limit, limit

    def start(self, plan):
        return torch.zeros(plan.batch_size, *NOISE_SHAPE)

    def act(self, plan, *, latent=None, embedding=None, noise=None, actions=None):
        return reach(plan.obs["policy"], plan.noise) if actions is None else self.bounded(actions)


@pytest.fixture(scope="module")
def session():
    from zprl.runs.session import TaskSession

    session = TaskSession(TASK, overrides=OVERRIDES)
    with session.launched():
        yield session


@pytest.fixture(scope="module")
def five_worlds(session):
    """Give the outcomes in five worlds, in two waves, with and without noise; the environment is closed after that."""
    with session.environment(num_envs=5) as env:
        evaluator = Evaluator(env, CHUNK)
        return evaluator.run(grasp, EPISODES, SEED), evaluator.run(grasp, EPISODES, SEED, NOISE_SHAPE)


@pytest.fixture(scope="module")
def env(session, five_worlds):
    """Give eight worlds; only one environment can be open at a time."""
    with session.environment(num_envs=8) as env:
        yield env


@pytest.fixture(scope="module")
def evaluator(env):
    return Evaluator(env, CHUNK)


@pytest.fixture(scope="module")
def eight_worlds(evaluator):
    """Give the outcomes in eight worlds, in one wave, without and with noise."""
    return evaluator.run(grasp, EPISODES, SEED), evaluator.run(grasp, EPISODES, SEED, NOISE_SHAPE)


def assert_same(a, b):
    assert a.successes == b.successes
    assert a.steps == b.steps
    assert len(a.positions) == len(b.positions) == len(a.steps)
    for ours, theirs in zip(a.positions, b.positions, strict=True):
        assert np.array_equal(ours, theirs)


def test_outcomes(eight_worlds):
    for results in eight_worlds:
        assert len(results.successes) == len(results.steps) == EPISODES
        assert [len(positions) for positions in results.positions] == results.steps
        # A failure lasts until the time limit, a success does not.
        assert all(success == (steps < 80) for success, steps in zip(results.successes, results.steps, strict=True))
        assert results.step_dt == pytest.approx(0.05)
    assert any(eight_worlds[0].successes), "the scripted grasp should succeed at times"
    assert len(set(eight_worlds[0].steps)) > 1, "episodes of one length would hide a dependence between them"
    plain, disturbed = eight_worlds
    assert plain.steps != disturbed.steps


def test_the_number_of_worlds_does_not_matter(five_worlds, eight_worlds):
    for five, eight in zip(five_worlds, eight_worlds, strict=True):
        assert_same(five, eight)


@pytest.mark.parametrize("processes", [3, 11])  # shares of several episodes; of one or none
def test_shares_of_several_processes_are_the_whole(evaluator, eight_worlds, monkeypatch, processes):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    for whole, shape in zip(eight_worlds, (None, NOISE_SHAPE), strict=True):
        together = EpisodeResults(whole.step_dt)
        for rank in range(processes):
            monkeypatch.setenv("RANK", str(rank))
            together.extend(evaluator.run(grasp, share_of(range(EPISODES)), SEED, shape))
        assert_same(together, whole)


def test_a_range_of_episodes_takes_several_waves(evaluator):
    few = evaluator.run(grasp, range(5, 16), SEED)
    many = evaluator.run(grasp, 16, SEED)
    assert few.steps == many.steps[5:]
    assert few.successes == many.successes[5:]


def test_repeated_with_other_episodes_beside_it(evaluator, eight_worlds):
    """The first three episodes of a run are the whole of a shorter one, also after the simulator did something else."""
    evaluator.run(stay, 2, SEED + 1)
    for results, shape in zip(eight_worlds, (None, NOISE_SHAPE), strict=True):
        few = evaluator.run(grasp, 3, SEED, shape)
        assert few.successes == results.successes[:3]
        assert few.steps == results.steps[:3]
        for ours, theirs in zip(few.positions, results.positions, strict=False):
            assert np.array_equal(ours, theirs)


def test_two_planners_meet_the_same_initial_states(evaluator, env):
    starts = []
    for planner, seed in ((grasp, SEED), (stay, SEED), (stay, SEED + 1)):
        recorder = Recorder(planner)
        evaluator.run(recorder, EPISODES, seed)
        starts.append(recorder.observations[0])
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert len({row.numpy().tobytes() for row in starts[0]}) == EPISODES


def test_noise_belongs_to_the_episode_and_the_replan(evaluator):
    noise = evaluator.noise(NOISE_SHAPE, SEED, range(3))
    assert noise.shape == (8, 20, *NOISE_SHAPE)
    assert torch.equal(evaluator.noise(NOISE_SHAPE, SEED, range(1, 3))[:2], noise[1:3])
    assert not torch.equal(evaluator.noise(NOISE_SHAPE, SEED + 1, range(3))[:3], noise[:3])
    assert not torch.equal(noise[0, 0], noise[0, 1])
    assert not torch.equal(noise[0, 0], noise[1, 0])
    assert torch.equal(noise[3:], torch.zeros(5, 20, *NOISE_SHAPE))
    recorder = Recorder(stay)
    evaluator.run(recorder, 3, SEED, NOISE_SHAPE)
    assert torch.equal(torch.stack(recorder.noise, dim=1), noise)


def test_global_random_state_is_preserved(env):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    env.reset_to([episode_seed(SEED + 100, episode) for episode in range(4)])
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_a_reset_seeds_the_observation_and_every_generator(env):
    def draws(seed):
        obs = env.reset(seed)["policy"]
        return obs.tolist(), random.random(), np.random.rand(), torch.rand(1).item()

    env.elapsed = torch.arange(8)
    first = draws(1)
    assert env.elapsed.tolist() == [0] * 8
    assert draws(1) == first
    other = draws(2)
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_observations_carry_no_noise_during_an_evaluation(evaluator, env):
    def noiseless(obs):
        """Whether the observed joints are the simulator's."""
        robot = env.unwrapped.scene["robot"].data
        return torch.equal(obs[:, :9], robot.joint_pos.torch - robot.default_joint_pos.torch)

    def plan(obs, noise):
        seen.append(noiseless(obs))
        return stay.plan(obs, noise)

    seen = []
    evaluator.run(Planner(plan), EPISODES, SEED)
    assert len(seen) == 20
    assert all(seen)
    # Afterwards, also after a planner that failed, observations are as noisy as training wants them.
    assert not noiseless(env.unwrapped.observation_manager.compute()["policy"])
    with pytest.raises(ZeroDivisionError):
        evaluator.run(Planner(lambda obs, noise: 1 / 0), EPISODES, SEED)
    assert not noiseless(env.unwrapped.observation_manager.compute()["policy"])


@pytest.mark.parametrize("noise_shape", [None, NOISE_SHAPE])
def test_a_closed_loop_of_zero_residuals_is_the_base_policy(evaluator, eight_worlds, noise_shape):
    """A planner that is asked in every step gets the noise of the base policy's chunks, and starts anew with a wave."""
    steering = StepResidual(StepResidualCfg(), ReachingPolicy(evaluator.env.spec))
    planner = steered_chunks(steering, lambda seen: torch.zeros(seen.batch_size[0], 7), ["policy"])
    assert planner.execute_steps == 1
    for _ in range(2):
        assert_same(evaluator.run(planner, EPISODES, SEED, noise_shape), eight_worlds[noise_shape is not None])
