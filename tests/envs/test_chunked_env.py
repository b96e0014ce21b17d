# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The chunked decision process, on an environment that plays back a script, and PPO's bootstrapping on its output."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from zprl.envs import ChunkedVecEnv
from zprl.steering import Steering
from zprl.utils.errors import ZprlError

GAMMA = 0.5
CHUNK = 3
NO = (False, False, False, False)


class ScriptedEnv:
    """Two worlds that hand out scripted rewards and ends, and reuse one buffer for all observations.

    Args:
        script: Per step, a row (reward, success, time_out, non_finite_state) for each world.
    """

    num_envs = 2
    device = "cpu"
    max_episode_length = 0  # so that every ended episode is counted

    def __init__(self, *script):
        self.script = list(script)
        self.cfg = SimpleNamespace(seed=7)
        self.action_manager = SimpleNamespace(total_action_dim=2)
        self.ends = {name: torch.zeros(2, dtype=torch.bool) for name in ("success", "time_out", "non_finite_state")}
        self.termination_manager = SimpleNamespace(active_terms=list(self.ends), get_term=lambda name: self.ends[name])
        self.episode_length_buf = torch.zeros(2, dtype=torch.long)
        self.received = []
        self.observation = torch.zeros(2, 1)

    def reset(self):
        self.observation[:] = torch.rand(2, 1)
        self.episode_length_buf = torch.zeros(2, dtype=torch.long)
        return {"policy": self.observation}, {}

    def step(self, action):
        self.received.append(action.clone())
        rows = self.script.pop(0)
        for i, name in enumerate(self.ends):
            self.ends[name] = torch.tensor([row[1 + i] for row in rows])
        self.observation += 1.0
        terminated = self.ends["success"] | self.ends["non_finite_state"]
        reward = torch.tensor([float(row[0]) for row in rows])
        ended = any(end.any() for end in self.ends.values())
        extras = {"final_obs": {"policy": self.observation - 0.25}} if ended else {}
        return {"policy": self.observation}, reward, terminated, self.ends["time_out"], extras


class CountingSteering(Steering):
    """Plans the actions 1, 2, 3, ... and shows the learner ten times the observation."""

    num_dims = 4

    def features(self, obs, noise=None):
        return {"latent": 10.0 * obs}

    def plan(self, obs, u=None, noise=None):
        return torch.arange(1.0, 9.0)[None, :, None].expand(obs.shape[0], 8, 2)

    def metrics(self, u):
        return {"Steering/sum": u.sum()}


def make(*script):
    """Return the scripted environment and the chunked one around it, after the reset."""
    env = ScriptedEnv(*script)
    chunked = ChunkedVecEnv(env, CountingSteering(), CHUNK, GAMMA)  # pyright: ignore[reportArgumentType]
    chunked.restart(0)
    return env, chunked


def world(reward=0.0, success=False, time_out=False, diverged=False):
    return (reward, success, time_out, diverged)


OUTPUT = torch.ones(2, 4)


def test_reward_is_the_discounted_sum_over_the_chunk():
    _, chunked = make(
        [world(1.0), world(-1.0)],
        [world(2.0), world(0.0)],
        [world(4.0), world(8.0)],
    )
    _, rewards, dones, extras = chunked.step(OUTPUT)
    assert rewards.tolist() == [1.0 + 0.5 * 2.0 + 0.25 * 4.0, -1.0 + 0.25 * 8.0]
    assert dones.tolist() == [0, 0]
    assert extras["time_outs"].tolist() == [False, False]
    assert extras["log"]["Steering/sum"] == 8.0


def test_only_the_first_actions_of_a_chunk_are_executed():
    env, chunked = make(*[[world(), world()]] * 6)
    chunked.step(OUTPUT)
    chunked.step(OUTPUT)
    assert [action[0, 0].item() for action in env.received] == [1.0, 2.0, 3.0] * 2


def test_an_end_inside_a_chunk_cuts_off_rewards_and_actions():
    env, chunked = make(
        [world(1.0), world(1.0)],
        [world(2.0, success=True), world(2.0)],
        [world(100.0), world(4.0)],
        *[[world(), world()]] * 3,
    )
    _, rewards, dones, _ = chunked.step(OUTPUT)
    # The reward of the step that ends the episode counts, the next one belongs to another episode.
    assert rewards.tolist() == [1.0 + 0.5 * 2.0, 1.0 + 0.5 * 2.0 + 0.25 * 4.0]
    assert dones.tolist() == [1, 0]
    assert [action[0].tolist() for action in env.received] == [[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]
    assert [action[1].tolist() for action in env.received] == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    # The fresh episode gets actions again with the next chunk.
    chunked.step(OUTPUT)
    assert env.received[3][0].tolist() == [1.0, 1.0]


def test_a_fresh_episode_that_ends_inside_the_same_chunk_changes_nothing():
    _, chunked = make(
        [world(1.0, success=True), world()],
        [world(5.0, time_out=True), world()],
        [world(7.0, success=True), world()],
    )
    _, rewards, dones, extras = chunked.step(OUTPUT)
    assert rewards.tolist() == [1.0, 0.0]
    assert dones.tolist() == [1, 0]
    assert extras["time_outs"].tolist() == [False, False]
    assert chunked.pop_counts() == (1, 1, 0)


def test_the_last_observation_of_an_episode_is_kept_where_the_environment_gives_it():
    env, chunked = make([world(), world()], [world(time_out=True), world()], [world(), world(success=True)])
    chunked._keeps_last_observation = True
    start = env.observation.clone()
    _, _, dones, extras = chunked.step(OUTPUT)
    assert dones.tolist() == [1, 1]
    last = extras["final_observations"]
    # The scripted environment's last observations lie 0.25 below those that follow.
    torch.testing.assert_close(last["policy"], start + torch.tensor([[2.0 - 0.25], [3.0 - 0.25]]))
    torch.testing.assert_close(last["latent"], 10.0 * last["policy"])


def test_without_it_none_is_told():
    _, chunked = make(*[[world(), world()]] * 3)
    assert "final_observations" not in chunked.step(OUTPUT)[3]


def test_the_steering_decides_what_is_executed_by_the_training_so_far():
    class Growing(CountingSteering):
        def explored(self, u, env_steps):
            return u * env_steps

    env = ScriptedEnv(*[[world(), world()]] * 6)
    chunked = ChunkedVecEnv(env, Growing(), CHUNK, GAMMA)  # pyright: ignore[reportArgumentType]
    chunked.restart(0)
    chunked.env_steps = 100
    assert chunked.step(OUTPUT)[3]["executed"].tolist() == (100.0 * OUTPUT).tolist()
    extras = chunked.step(OUTPUT)[3]
    assert extras["executed"].tolist() == (106.0 * OUTPUT).tolist()  # three steps of two worlds later
    assert extras["log"]["Steering/sum"] == 8 * 106.0


def test_the_steering_is_told_of_episodes_that_begin():
    told = []

    class Listening(CountingSteering):
        def begin_episodes(self, worlds=None):
            told.append(None if worlds is None else worlds.tolist())

    env = ScriptedEnv([world(), world(success=True)], *[[world(), world()]] * 5)
    chunked = ChunkedVecEnv(env, Listening(), CHUNK, GAMMA)  # pyright: ignore[reportArgumentType]
    chunked.restart(0)
    chunked.step(OUTPUT)
    chunked.step(OUTPUT)
    assert told == [None, [False, True], [False, False]]


@pytest.mark.parametrize(
    ("end", "time_out"),
    [
        (world(success=True), False),
        (world(diverged=True), False),
        (world(time_out=True), True),
        (world(success=True, time_out=True), False),  # success in the last step is no reason to bootstrap
    ],
)
def test_only_truncation_sets_time_outs(end, time_out):
    _, chunked = make([world(), world()], [end, world()], [world(), world()])
    _, _, dones, extras = chunked.step(OUTPUT)
    assert dones.tolist() == [1, 0]
    assert extras["time_outs"].tolist() == [time_out, False]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_reward_of_a_diverged_world_is_dropped(value):
    _, chunked = make([world(1.0), world(1.0)], [world(value, diverged=True), world()], [world(value), world()])
    _, rewards, dones, _ = chunked.step(OUTPUT)
    assert rewards.tolist() == [1.0, 1.0]
    assert dones.tolist() == [1, 0]
    assert chunked.pop_counts() == (1, 0, 1)


def test_an_observation_that_is_nan_after_a_chunk_is_an_error_once_per_iteration():
    env, chunked = make(*[[world(), world()]] * 9)
    env.observation[1] = torch.nan
    chunked.step(OUTPUT)
    chunked.step(OUTPUT)
    with pytest.raises(ZprlError, match="returned 2 observed values that are NaN"):
        chunked.pop_counts()
    env.observation[1] = 0.0
    chunked.step(OUTPUT)
    assert chunked.pop_counts() == (0, 0, 0)


def test_counts_leave_out_the_first_episode_length_after_a_restart():
    """Until then only short episodes, and ones that began with used-up time, can have ended."""
    env, chunked = make(
        [world(time_out=True), world(success=True)],
        *[[world(), world()]] * 2,
        [world(success=True), world(time_out=True)],
        *[[world(), world()]] * 2,
    )
    chunked.max_episode_length = env.max_episode_length = 3
    chunked.step(OUTPUT)
    assert chunked.pop_counts() == (0, 0, 0)
    chunked.step(OUTPUT)
    assert chunked.pop_counts() == (2, 1, 0)
    assert chunked.pop_counts() == (0, 0, 0)


def test_episode_lengths_are_those_of_the_environment():
    env, chunked = make()
    chunked.episode_length_buf = torch.tensor([3, 4])
    assert env.episode_length_buf.tolist() == [3, 4]
    chunked.restart(0)
    assert chunked.episode_length_buf.tolist() == [0, 0]


def test_a_restart_starts_the_count_anew():
    _, chunked = make(*[[world(success=True), world(success=True)], *[[world(), world()]] * 2] * 2)
    chunked.max_episode_length = 3
    chunked.step(OUTPUT)
    chunked.restart(0)
    chunked.step(OUTPUT)
    assert chunked.pop_counts() == (0, 0, 0)


def test_restart_seeds_the_observation_and_every_generator():
    _, chunked = make()

    def draws(seed):
        chunked.restart(seed)
        obs = chunked.get_observations()["policy"]
        return obs.tolist(), random.random(), np.random.rand(), torch.rand(1).item()

    first = draws(1)
    assert draws(1) == first
    other = draws(2)
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_stored_observations_survive_the_environments_reuse_of_its_buffer():
    _, chunked = make(*[[world(), world()]] * 6)
    start = chunked.get_observations()
    before = start["policy"].clone()
    first, *_ = chunked.step(OUTPUT)
    chunked.step(OUTPUT)
    torch.testing.assert_close(start["policy"], before, rtol=0, atol=0)
    torch.testing.assert_close(first["policy"], before + 3.0)
    torch.testing.assert_close(first["latent"], 10.0 * first["policy"])


def test_ppo_bootstraps_truncations_with_the_discount_of_a_chunk():
    """The return of a truncated step is its chunk reward plus gamma^Ta of its value, that of a success its reward."""
    _, chunked = make(
        # Chunk 1: the first world succeeds, the second one is truncated.
        [world(1.0, success=True), world(1.0)],
        [world(9.0), world(2.0, time_out=True)],
        [world(9.0), world(9.0)],
        # Chunk 2: both go on.
        *[[world(2.0), world(4.0)]] * 3,
    )
    obs = chunked.get_observations()
    groups = {"actor": ["policy", "latent"], "critic": ["policy", "latent"]}
    gaussian = {"class_name": "zprl.rl.distribution:ZeroMeanGaussian", "init_std": 0.5, "std_type": "log"}
    actor = MLPModel(obs, groups, "actor", 4, hidden_dims=[8], distribution_cfg=gaussian)
    critic = MLPModel(obs, groups, "critic", 1, hidden_dims=[8])
    storage = RolloutStorage("rl", 2, 2, obs, [4], "cpu")
    ppo = PPO(actor, critic, storage, gamma=GAMMA**CHUNK, lam=1.0)
    # A critic that says 16 of everything.
    for parameter in critic.parameters():
        torch.nn.init.zeros_(parameter)
    [layer for layer in critic.modules() if isinstance(layer, torch.nn.Linear)][-1].bias.data.fill_(16.0)
    with torch.inference_mode():
        for _ in range(2):
            obs, rewards, dones, extras = chunked.step(ppo.act(obs))
            assert isinstance(obs, TensorDict)
            ppo.process_env_step(obs, rewards, dones, extras)
        ppo.compute_returns(obs)
    discount = 0.5**3
    goes_on = 1.0 + 0.5 + 0.25
    assert ppo.storage.returns[:, :, 0].tolist() == [
        [1.0, 1.0 + 0.5 * 2.0 + discount * 16.0],
        [2.0 * goes_on + discount * 16.0, 4.0 * goes_on + discount * 16.0],
    ]
