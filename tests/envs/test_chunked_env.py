# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The chunked decision process, on an environment that plays back a script, and PPO's bootstrapping on its output."""

import pytest
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from tests.fakes import NOTHING, CountingPolicy, CountingSteering, ScriptedEnv, make_base, make_spec, world

from zprl.envs.chunked_env import ChunkedVecEnv
from zprl.rl.methods import METHODS
from zprl.steering import make_steering
from zprl.utils.errors import ZprlError

GAMMA = 0.5


def wrap(env, steering=None):
    """Return the chunked environment around a scripted one, after the reset."""
    chunked = ChunkedVecEnv(env, steering or CountingSteering(), ["policy"], GAMMA)
    chunked.restart(0)
    return chunked


def make(*script, **settings):
    """Return the scripted environment and the chunked one around it, after the reset."""
    env = ScriptedEnv(*script, **settings)
    return env, wrap(env)


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
    env, chunked = make()
    chunked.step(OUTPUT)
    chunked.step(OUTPUT)
    assert [action[0, 0].item() for action in env.received] == [1.0, 2.0, 3.0] * 2


def test_an_end_inside_a_chunk_cuts_off_rewards_and_actions():
    env, chunked = make(
        [world(1.0), world(1.0)],
        [world(2.0, success=True), world(2.0)],
        [world(100.0), world(4.0)],
        *[NOTHING] * 3,
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
    env, chunked = make(NOTHING, [world(time_out=True), world()], [world(), world(time_out=True)], final=True)
    start = env.observation.clone()
    _, _, dones, extras = chunked.step(OUTPUT)
    assert dones.tolist() == [1, 1]
    last = extras["final_observations"]
    torch.testing.assert_close(last["policy"], start + torch.tensor([[2.0 - 0.25], [3.0 - 0.25]]))
    torch.testing.assert_close(last["latent"], 10.0 * last["policy"])


def test_without_it_none_is_told():
    _, chunked = make([world(time_out=True), world()])
    assert "final_observations" not in chunked.step(OUTPUT)[3]


def test_the_steering_decides_what_is_executed_by_the_training_so_far():
    class Growing(CountingSteering):
        def explored(self, u, env_steps):
            return u * env_steps

    chunked = wrap(ScriptedEnv(), Growing())
    chunked.env_steps = 100
    assert chunked.step(OUTPUT)[3]["executed"].tolist() == (100.0 * OUTPUT).tolist()
    extras = chunked.step(OUTPUT)[3]
    assert extras["executed"].tolist() == (106.0 * OUTPUT).tolist()  # three steps of two worlds later
    assert extras["log"]["Steering/sum"] == 8 * 106.0


def test_the_policy_is_told_of_episodes_that_begin():
    told = []

    class Listening(CountingPolicy):
        def begin_episodes(self, worlds=None):
            told.append(None if worlds is None else worlds.tolist())

    chunked = wrap(ScriptedEnv([world(), world(success=True)]), CountingSteering(Listening()))
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
    _, chunked = make(NOTHING, [end, world()], NOTHING)
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


UNUSABLE = [float("nan"), float("inf"), -float("inf"), 1.1e9, -1e30]


@pytest.mark.parametrize("value", UNUSABLE)
def test_an_observation_after_a_chunk_that_cannot_be_learned_from_is_an_error_at_once(value):
    env, chunked = make()
    env.observation[1] = value
    with pytest.raises(ZprlError, match=r"returned 1 observed values and 0 rewards that are NaN, infinite or beyond"):
        chunked.step(OUTPUT)


@pytest.mark.parametrize("value", UNUSABLE)
def test_a_reward_that_cannot_be_learned_from_is_an_error_at_once(value):
    _, chunked = make([world(), world(value)])
    with pytest.raises(ZprlError, match=r"returned 0 observed values and 1 rewards .* of task Fake-Task\.$"):
        chunked.step(OUTPUT)


def test_a_large_reward_counts_as_it_is():
    _, chunked = make([world(0.9e9), world(-0.9e9)])
    _, rewards, _, _ = chunked.step(OUTPUT)
    assert rewards.tolist() == [0.9e9, -0.9e9]


def test_what_cannot_be_learned_from_is_an_error_once_per_iteration_where_looking_makes_the_host_wait(monkeypatch):
    env, chunked = make([world(), world(torch.inf)])
    env.observation[1] = torch.nan
    with monkeypatch.context() as patch:
        patch.setattr(chunked, "_require_usable", lambda *counts: None)
        chunked.step(OUTPUT)
        chunked.step(OUTPUT)
    with pytest.raises(ZprlError, match="returned 2 observed values and 1 rewards"):
        chunked.pop_counts()
    assert chunked.pop_counts() == (0, 0, 0)


def test_counts_leave_out_the_first_episode_length_after_a_restart():
    """Until then only short episodes, and ones that began with used-up time, can have ended."""
    env, chunked = make(
        [world(time_out=True), world(success=True)],
        *[NOTHING] * 2,
        [world(success=True), world(time_out=True)],
        *[NOTHING] * 2,
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
    assert env.elapsed.tolist() == [3, 4]
    chunked.restart(0)
    assert chunked.episode_length_buf.tolist() == [0, 0]


def test_a_restart_starts_the_count_anew():
    _, chunked = make(*[[world(success=True), world(success=True)], *[NOTHING] * 2] * 2)
    chunked.max_episode_length = 3
    chunked.step(OUTPUT)
    chunked.restart(0)
    chunked.step(OUTPUT)
    assert chunked.pop_counts() == (0, 0, 0)


def test_a_restart_resets_the_environment_with_its_seed_and_shows_the_fresh_episodes():
    env, chunked = make()
    chunked.step(OUTPUT)
    before = chunked.get_observations()["policy"]
    chunked.restart(7)
    assert env.seeds == [0, 7]
    after = chunked.get_observations()["policy"]
    assert not torch.equal(after, before)
    assert torch.equal(after, env.observation)


def test_without_a_restart_the_first_look_begins_with_the_seed_it_was_made_with():
    for look in (lambda chunked: chunked.get_observations(), lambda chunked: chunked.step(OUTPUT)):
        env = ScriptedEnv()
        look(ChunkedVecEnv(env, CountingSteering(), ["policy"], GAMMA, seed=5))
        assert env.seeds == [5]


@pytest.mark.parametrize(
    ("name", "words"),
    [("camera", "to see the images camera, which would fill its storage"), ("depth", "no observation group 'depth'")],
)
def test_what_the_learner_cannot_see_is_refused(name, words):
    env = ScriptedEnv(spec=make_spec(image=(4, 4, 3)))
    with pytest.raises(ZprlError, match=words):
        ChunkedVecEnv(env, CountingSteering(), ["policy", name], GAMMA)


# -- how often the base policy encodes


def count_rows(base):
    """Return a list that gets the number of observations that are embedded from now on, a number per call."""
    rows = []
    base.policy.embedding.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    return rows


def steered(method, *script):
    """Return a chunked environment of a flow policy, and the rows that it embeds."""
    base = make_base(obs_dim=1, action_dim=2, execute_steps=3)
    rows = count_rows(base)
    chunked = wrap(ScriptedEnv(*script, final=True), make_steering(METHODS[method].steering(), base))
    return chunked, rows


@pytest.mark.parametrize(
    ("method", "encoded"),
    [
        ("zprl", 2),
        ("embedding_residual", 2),
        ("action_residual", 2),
        ("noise", 2),
        ("finetune", 0),  # the actor is a copy of the policy, and the base has no part in it
        ("scratch", 0),
    ],
)
def test_an_observation_is_encoded_once(method, encoded):
    """What the learner sees of it, the chunk that follows, and what the learner is told afterwards share one plan."""
    chunked, rows = steered(method, *[NOTHING] * 7, [world(success=True), world(diverged=True)])
    for _ in range(3):
        chunked.get_observations()
        obs, *_ = chunked.step(torch.zeros(2, chunked.num_actions))
        torch.testing.assert_close(chunked.get_observations(), obs)
        chunked.get_observations()
    features = bool(chunked.steering.features(chunked.steering.policy.encode({"policy": torch.zeros(1, 1)})))
    if features:
        assert rows.pop() == 1  # what has just been asked for here
    # Three chunks, and where the learner sees something of it, the observation that the fourth would follow.
    assert rows == [encoded] * (4 if features else 3) * bool(encoded)


@pytest.mark.parametrize(("method", "feature"), [("zprl", "latent"), ("embedding_residual", "embedding")])
def test_of_an_episodes_last_observation_only_the_worlds_that_ran_out_of_time_are_encoded(method, feature):
    chunked, rows = steered(method, NOTHING, [world(success=True), world(time_out=True)], NOTHING)
    chunked.get_observations()
    base = chunked.steering.policy
    start = chunked.get_observations()["policy"].clone()
    output = torch.zeros(2, chunked.num_actions)
    *_, extras = chunked.step(output)
    assert sorted(rows) == [1, 2, 2]  # the first observation, the one after the chunk, and the second world's last one
    last = {"policy": start + 2.0 - 0.25}
    seen = extras["final_observations"]
    torch.testing.assert_close(seen["policy"][1], last["policy"][1])
    torch.testing.assert_close(seen[feature][1], getattr(base.encode(last), feature)[1])
    rows.clear()
    *_, extras = chunked.step(output)
    assert rows == [2]  # no episode has ended


def test_in_closed_loop_the_base_policy_plans_when_its_actions_are_used_up():
    chunked, rows = steered("step_residual")
    for _ in range(7):
        chunked.step(torch.zeros(2, chunked.num_actions))
    assert rows == [2, 2, 2]  # at the start and after three and six actions


def test_stored_observations_survive_the_environments_reuse_of_its_buffer():
    _, chunked = make()
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
    ppo = PPO(actor, critic, storage, gamma=GAMMA**chunked.execute_steps, lam=1.0)
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
