# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What only a simulator knows, in the training of an encoder of images."""

import numpy as np
import pytest
import torch

from zprl.policies import FlowPolicyCfg, PretrainCfg, save_policy, train_policy
from zprl.policies.flow.cfg import ImageAugmentationCfg
from zprl.policies.flow.privileged import readout_errors
from zprl.spec import Group
from zprl.utils.errors import ZprlError

KNOWN = Group.vector("known", [("spot", 2), ("constant", 1)], "privileged")
SHAPES = {"camera": (16, 16, 3)}
CFG = FlowPolicyCfg(
    observation_groups=("policy", "camera"),
    embedding_class="zprl.policies.flow.encoders:ImageEmbedding",
    horizon=2,
    execute_steps=1,
    embed_dim=16,
    embed_hidden_dims=(32,),
    latent_dim=4,
    vib_hidden_dims=(16,),
    velocity_hidden_dim=16,
    velocity_num_blocks=1,
    time_embed_dim=8,
)


def make_data(num_trajectories=10, length=20):
    """A bright square of 4 x 4 pixels, whose place [pixels] is privileged; actions say nothing of it."""
    generator = torch.Generator().manual_seed(0)
    obs, actions = [], []
    for _ in range(num_trajectories):
        spot = torch.randint(13, (length, 2), generator=generator)
        images = torch.full((length, 16, 16, 3), 60, dtype=torch.uint8)
        for image, (y, x) in zip(images, spot.tolist(), strict=True):
            image[y : y + 4, x : x + 4] = 220
        known = torch.cat([spot.float(), torch.full((length, 1), 5.0)], dim=1)
        obs.append({"policy": torch.randn(length, 3, generator=generator), "camera": images, "known": known})
        actions.append(torch.randn(length, 2, generator=generator))
    return obs, actions


def train(weight, num_steps=150, **settings):
    cfg = PretrainCfg(
        num_steps=num_steps,
        batch_size=32,
        warmup_steps=10,
        privileged_weight=weight,
        augmentation=ImageAugmentationCfg(random_crop=False),
        **settings,
    )
    return train_policy(*make_data(), CFG, cfg, image_shapes=SHAPES, privileged=[KNOWN])


def test_the_encoder_learns_what_it_is_told_and_the_probe_shows_it(tmp_path):
    plain, told = train(0.0), train(1.0)
    before, after = (result.history[-1] for result in (plain, told))
    # The square's place has a deviation of 3.7 pixels in both directions.
    assert before["probe/spot/state"] == after["probe/spot/state"] == pytest.approx(3.8, abs=0.3)
    assert before["probe/spot/embedding"] > 2.0
    assert after["probe/spot/embedding"] < 0.8
    assert after["probe/spot/latent"] < before["probe/spot/latent"]
    assert after["probe/constant/embedding"] == pytest.approx(0.0, abs=1e-3)
    assert "privileged" in after and "privileged" not in before
    # What acts and is saved has no part of it.
    assert [*told.policy.state_dict()] == [*plain.policy.state_dict()]
    save_policy(tmp_path / "base.safetensors", told.policy, {"history": told.history})


def test_the_probe_comes_at_its_interval_and_at_the_end():
    history = train(1.0, num_steps=25, log_interval=5, probe_interval=10).history
    assert [entry["step"] for entry in history if "probe/spot/latent" in entry] == [10, 20, 25]


def test_training_repeats_with_all_that_is_random():
    cfg = PretrainCfg(num_steps=4, batch_size=8, flow_samples=2, privileged_weight=1.0, log_interval=2)
    cfg.augmentation = ImageAugmentationCfg(True, 0.1, 0.1, 0.1, 0.5)
    first, second = (train_policy(*make_data(), CFG, cfg, image_shapes=SHAPES, privileged=[KNOWN]) for _ in range(2))
    assert first.history == second.history
    for name, value in first.policy.state_dict().items():
        assert torch.equal(value, second.policy.state_dict()[name]), name


def test_nothing_privileged_in_the_data_is_refused_in_one_sentence():
    cfg = PretrainCfg(num_steps=1, privileged_weight=1.0)
    with pytest.raises(
        ZprlError, match=r"privileged_weight is 1, and the data set has no privileged .* set it to 0"
    ) as e:
        train_policy(*make_data(), CFG, cfg, image_shapes=SHAPES)
    assert "\n" not in str(e.value)


def test_a_readout_is_least_squares_on_the_other_trajectories():
    rng = np.random.default_rng(0)
    episodes = np.repeat(np.arange(10), 30)
    x = rng.standard_normal((300, 4)) * [1.0, 100.0, 0.01, 0.0] + [0.0, 5.0, 3.0, 2.0]
    target = x[:, :3] @ rng.standard_normal((3, 3)) + 0.5 * rng.standard_normal((300, 3)) + 7.0
    found = readout_errors(
        {"x": torch.from_numpy(x)},
        torch.from_numpy(target),
        {"a": slice(0, 1), "b": slice(1, 3)},
        torch.from_numpy(episodes),
    )
    fit = episodes % 5 != 0
    design = np.concatenate([x[:, :3], np.ones((300, 1))], axis=1)
    residual = design[~fit] @ np.linalg.lstsq(design[fit], target[fit], rcond=None)[0] - target[~fit]
    assert found == pytest.approx(
        {"probe/a/x": np.sqrt((residual[:, 0] ** 2).mean()), "probe/b/x": np.sqrt((residual[:, 1:] ** 2).mean())},
        rel=1e-6,
    )
    one = torch.zeros(300, dtype=torch.long)
    assert readout_errors({"x": torch.from_numpy(x)}, torch.from_numpy(target), {"a": slice(0, 1)}, one) == {}
