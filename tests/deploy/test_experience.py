# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a contract says of ranges comes from the base policy's own file and the recorded episodes, and from no other."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.checkpoints import ACTION_DIM, LATENT_DIM, LATENT_STATISTICS, OBS_DIM, SPEC, TASK
from tests.deploy.conftest import META, make_recording, make_source

from zprl.data import Demonstration, save_demonstrations
from zprl.deploy.describe import experience_of
from zprl.policies import Experience, load_policy, make_base_policy
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.runs.base_policy import pretrain
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum


def make_episodes(count=4, length=9, seed=0, spread=1.0):
    """Return the observations and the actions of some episodes."""
    rng = np.random.default_rng(seed)
    obs = [spread * rng.normal(size=(length + i, OBS_DIM)).astype(np.float32) for i in range(count)]
    return obs, [rng.uniform(-1, 1, (len(o), ACTION_DIM)).astype(np.float32) for o in obs]


def experience(obs, actions, latents):
    """Return what was met in episodes, with latents given one by one."""
    named = [{"policy": o, "camera": np.zeros((len(o), 2, 2, 3))} for o in obs]
    return Experience.of(named, actions, len(latents), latents.mean(axis=0).tolist(), latents.std(axis=0).tolist())


def test_what_was_met_in_parts_is_what_was_met_altogether():
    (first, first_moves), (second, second_moves) = make_episodes(), make_episodes(3, 5, 1, 2.0)
    latents = np.random.default_rng(2).normal(3.0, 2.0, (50, LATENT_DIM)) * np.arange(1, LATENT_DIM + 1)
    merged = experience(first, first_moves, latents[:10]).merged(experience(second, second_moves, latents[10:]))
    assert list(merged.minimum) == list(merged.maximum) == ["policy"]
    everything = np.concatenate([*first, *second])
    assert merged.minimum["policy"] == everything.min(axis=0).tolist()
    assert merged.maximum["policy"] == everything.max(axis=0).tolist()
    changes = np.concatenate([np.abs(np.diff(moves, axis=0)) for moves in (*first_moves, *second_moves)])
    assert merged.max_change == changes.max(axis=0).tolist()
    assert merged.num_latents == 50
    np.testing.assert_allclose(merged.latent_mean, latents.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.latent_std, latents.std(axis=0), rtol=1e-12)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Give the base policy of a data set, and what was met in it; another file has taken the data set's place since."""
    folder = tmp_path_factory.mktemp("pretrained")
    dataset, path = folder / "demos.hdf5", folder / "base.safetensors"
    cfg = ZprlRunnerCfg()
    cfg.pretrain.num_steps = cfg.pretrain.warmup_steps = cfg.pretrain.batch_size = 2
    cfg.policy.latent_dim = LATENT_DIM

    def save(seed, spread):
        obs, actions = make_episodes(seed=seed, spread=spread)
        episodes = [
            Demonstration({"policy": o}, a, np.zeros(len(a), np.float32), np.zeros(len(a), bool), True)
            for o, a in zip(obs, actions, strict=True)
        ]
        save_demonstrations(dataset, SPEC, episodes)
        return obs, actions

    episodes = save(0, 50.0)
    pretrain(TASK, cfg, dataset, path)
    sha256 = checksum(dataset)
    cfg.pretrain.eval_interval = cfg.pretrain.log_interval
    with pytest.raises(
        ZprlError, match=r"evaluates the policy in its task, and there is no environment; set it to 0\."
    ):
        pretrain(TASK, cfg, dataset, path)
    save(1, 1e6)
    policy, meta = load_policy(path)
    assert meta["demonstrations"]["sha256"] == sha256 != checksum(dataset)
    return policy, meta, episodes


def test_a_base_policy_keeps_what_was_met_in_its_demonstrations(pretrained):
    policy, meta, (obs, actions) = pretrained
    z = policy.encode(torch.from_numpy(np.concatenate(obs)))[0].detach().numpy()
    met = Experience.from_dict(meta["demonstrations"]["experience"], SPEC, LATENT_DIM)
    direct = experience(obs, actions, z)
    for ours, theirs in ((met.latent_mean, direct.latent_mean), (met.latent_std, direct.latent_std)):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert dataclasses.replace(met, latent_mean=direct.latent_mean, latent_std=direct.latent_std) == direct


def test_an_export_adds_the_recorded_episodes_to_them(pretrained, tmp_path, capsys):
    policy, meta, (obs, actions) = pretrained
    source = dataclasses.replace(make_source(tmp_path, False), base=make_base_policy(policy, meta), meta=meta)
    recording = make_recording(source)
    met, where = experience_of(source, source.reference(), recording)
    assert where == "4 demonstrations and 3 recorded episodes"
    assert met.maximum["policy"] == np.concatenate([*obs, recording.obs["policy"]]).max(axis=0).tolist()
    moves = [*actions, *recording.episode_actions()]
    assert met.max_change == np.max([np.abs(np.diff(a, axis=0)).max(axis=0) for a in moves], axis=0).tolist()
    z = policy.double().encode(torch.from_numpy(np.concatenate([*obs, recording.obs["policy"]])).double())[0]
    np.testing.assert_allclose(met.latent_mean, z.mean(dim=0), atol=1e-5)
    np.testing.assert_allclose(met.latent_std, z.std(dim=0, correction=0), atol=1e-5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ({}, "its file, of an older version, does not hold those of its demonstrations"),
        ({"demonstrations": {"experience": {"minimum": {}}}}, "its demonstrations hold no observations policy"),
    ],
)
def test_where_the_demonstrations_ranges_are_unknown_the_recorded_episodes_count_alone(kept, reason, tmp_path, capsys):
    source = make_source(tmp_path)
    source.meta = {**META, "dataset": "demos.hdf5", **kept}
    recording = make_recording(source)
    met, where = experience_of(source, source.reference(), recording)
    assert where == "3 recorded episodes"
    assert met.maximum["policy"] == recording.obs["policy"].max(axis=0).tolist()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"warning: ranges come from recorded episodes alone: {reason}"


@pytest.mark.parametrize(
    "spoilt",
    [
        {"max_change": [6.0]},
        {"maximum": {"policy": [float("inf")] * OBS_DIM}},
        {"minimum": {"policy": [0.0]}},
        {"latent_mean": [0.0] * (LATENT_DIM + 1)},
        {"num_latents": "many"},
        {"num_latents": -1},
        {"latent_std": None},
    ],
    ids=str,
)
def test_numbers_that_do_not_fit_the_policy_are_refused(spoilt, tmp_path):
    source = make_source(tmp_path)
    obs, actions = make_episodes()
    met = experience(obs, actions, np.zeros((3, LATENT_DIM)))
    demonstrations = {"sha256": "0" * 64, "num_demos": 4, "experience": {**met.to_dict(), **spoilt}}
    source.meta = {**META, "latent_statistics": LATENT_STATISTICS, "demonstrations": demonstrations}
    with pytest.raises(ZprlError, match=r"model_7\.safetensors says of its demonstrations does not fit .*again\.$"):
        experience_of(source, source.reference(), make_recording(source))
