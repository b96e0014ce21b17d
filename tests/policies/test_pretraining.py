# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training from demonstrations."""

import math
import threading
from typing import Any

import pytest
import torch

from zprl.policies import (
    FlowPolicy,
    FlowPolicyCfg,
    PretrainCfg,
    load_policy,
    save_policy,
    train_policy,
)
from zprl.policies.flow import training
from zprl.policies.flow.policy import STATE
from zprl.policies.flow.training import ChunkDataset
from zprl.utils.errors import ZprlError

SMALL = {"horizon": 3, "execute_steps": 2, "embed_dim": 16, "embed_hidden_dims": (32,), "latent_dim": 4}
SMALL |= {"vib_hidden_dims": (32,), "velocity_hidden_dim": 32, "velocity_num_blocks": 2, "time_embed_dim": 16}


def named(arrays, group="policy"):
    """Observations as a task gives them: by the name of their group."""
    return [{group: array} for array in arrays]


def make_data(num_trajectories=8, length=40):
    """Trajectories of a smooth controller: the action is a function of the observation."""
    generator = torch.Generator().manual_seed(0)
    obs = [torch.randn(length, 4, generator=generator).cumsum(dim=0) * 0.1 for _ in range(num_trajectories)]
    return obs, [torch.stack([torch.sin(o[:, 0]), o[:, 1] - o[:, 2]], dim=1) for o in obs]


def train(seed=0, num_steps=20, **settings):
    obs, actions = make_data()
    pretrain_cfg = PretrainCfg(num_steps=num_steps, batch_size=32, warmup_steps=5, log_interval=10, seed=seed)
    return train_policy(named(obs), actions, FlowPolicyCfg(**SMALL), pretrain_cfg, **settings)


def test_chunks_start_everywhere_and_repeat_the_last_action():
    obs = [torch.arange(4.0).unsqueeze(1), torch.arange(10.0, 12.0).unsqueeze(1)]
    data = ChunkDataset(named(obs), obs, FlowPolicyCfg(**SMALL), {}, torch.device("cpu"))
    assert data.state.squeeze(1).tolist() == [0, 1, 2, 3, 10, 11]
    assert data.chunks.squeeze(2).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 3], [3, 3, 3], [10, 11, 11], [11, 11, 11]]


def test_training_repeats_for_a_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = train(seed=1)
    assert torch.equal(torch.rand(3), expected)
    second, other = train(seed=1), train(seed=2)
    for name, value in first.policy.state_dict().items():
        assert torch.equal(value, second.policy.state_dict()[name]), name
    assert first.history == second.history
    assert first.history != other.history


def trained_step_by_step(num_steps):
    """What :func:`train` does, in one thread and by one optimiser on the sum of both paths: weights and last loss."""
    obs, actions = make_data()
    cfg = PretrainCfg(num_steps=num_steps, batch_size=32, warmup_steps=5, log_interval=10)
    data = ChunkDataset(named(obs), actions, FlowPolicyCfg(**SMALL), {}, torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        policy = FlowPolicy(FlowPolicyCfg(**SMALL), 4, 2)
    policy.set_normalizers(data.state, data.actions)
    optimizer = torch.optim.AdamW(policy.parameters(), betas=cfg.betas, weight_decay=cfg.weight_decay, fused=True)
    averages = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    generator = torch.Generator().manual_seed(cfg.seed)
    losses = []
    for step in range(num_steps):
        warm = (step + 1) / 5 if step < 5 else 0.5 + 0.5 * math.cos(math.pi * (step - 5) / (num_steps - 5))
        optimizer.param_groups[0]["lr"] = cfg.learning_rate * warm
        rows = torch.randint(len(data), (32,), generator=generator)
        loss, _ = policy.loss(data.inputs(rows), data.chunks[rows], generator, cfg.vib_beta, cfg.vib_recon)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        decay = min(cfg.ema_max_decay, 1.0 - (1.0 + step) ** -cfg.ema_power)
        for name, parameter in policy.named_parameters():
            averages[name].lerp_(parameter.detach(), 1.0 - decay)
    return averages, sum(losses[-10:]) / 10


@pytest.mark.parametrize(("threads", "threads_of_torch"), [(1, 1), (2, 1), (2, 2)])
def test_both_paths_side_by_side_are_both_in_one_thread_bit_for_bit(threads, threads_of_torch, monkeypatch):
    before, ran_in = torch.get_num_threads(), set()
    bottleneck_loss = FlowPolicy.bottleneck_loss

    def spy(*args):
        ran_in.add((threading.current_thread() is threading.main_thread(), torch.get_num_threads()))
        return bottleneck_loss(*args)

    monkeypatch.setattr(training, "num_threads", lambda: threads)
    monkeypatch.setattr(FlowPolicy, "bottleneck_loss", spy)
    torch.set_num_threads(threads_of_torch)
    try:
        result = train(num_steps=30)
        assert torch.get_num_threads() == threads_of_torch
    finally:
        torch.set_num_threads(before)
    assert ran_in == {(threads == 1, 1)}
    weights, loss = trained_step_by_step(30)
    for name, value in result.policy.named_parameters():
        assert torch.equal(value, weights[name]), name
    assert result.history[-1]["loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("place", ["second thread", "first thread"])
def test_an_error_ends_training_in_both_threads(place, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    before = torch.get_num_threads(), threading.active_count()
    monkeypatch.setattr(training, "num_threads", lambda: 2)
    if place == "second thread":
        monkeypatch.setattr(FlowPolicy, "bottleneck_loss", fail)
    with pytest.raises(KeyboardInterrupt):
        train(on_progress=fail)
    assert (torch.get_num_threads(), threading.active_count()) == before


def test_training_learns_the_controller_through_both_paths():
    obs, actions = make_data()
    policy, history, statistics = train(num_steps=1500)
    obs, actions = torch.cat(obs), torch.cat(actions)
    scale = actions.var(dim=0).mean()
    for chunk in (policy.generate(policy.embed(obs)), policy.act(obs)):
        assert (chunk[:, 0] - actions).square().mean() < 0.1 * scale
    assert history[-1]["flow"] < 0.5 * history[0]["flow"]
    assert len(statistics["latent_mean_rms_per_dim"]) == SMALL["latent_dim"]
    mean, _ = policy.encode(obs)
    assert statistics["latent_mean_rms"] == pytest.approx(mean.square().mean().sqrt().item(), rel=1e-5)


def test_the_policy_is_evaluated_on_the_way_without_an_influence_on_it():
    seen = []

    def evaluate(policy):
        seen.append(policy)
        assert not policy.training
        torch.rand(1)  # an evaluation may draw what it likes
        return {"success": len(seen) / 10}

    settings: dict[str, Any] = {"num_steps": 50, "batch_size": 32, "warmup_steps": 5, "log_interval": 10}
    obs, actions = make_data()
    results = [
        train_policy(named(obs), actions, FlowPolicyCfg(**SMALL), PretrainCfg(eval_interval=n, **settings), evaluate=f)
        for n, f in ((20, evaluate), (0, evaluate), (20, None))
    ]
    assert [entry.get("success") for entry in results[0].history] == [None, 0.1, None, 0.2, None]
    assert len(seen) == 2
    for name, value in results[0].policy.state_dict().items():
        for other in results[1:]:
            assert torch.equal(value, other.policy.state_dict()[name]), name


def test_the_bottleneck_is_trained_on_alone_where_the_base_policy_is_at_rest():
    obs, actions = make_data()
    settings: dict[str, Any] = {"num_steps": 60, "batch_size": 32, "warmup_steps": 5, "log_interval": 20}
    settings |= {"vib_beta": 0.0, "vib_recon": 1.0}
    calls = []
    first, second = (
        train_policy(
            named(obs), actions, FlowPolicyCfg(**SMALL), PretrainCfg(bottleneck_steps=steps, **settings),
            on_progress=lambda *call: calls.append(call[:2]),
        )
        for steps in (0, 250)
    )  # fmt: skip
    for name, value in first.policy.state_dict().items():
        same = torch.equal(value, second.policy.state_dict()[name])
        assert same != name.startswith("bottleneck."), name
    assert [entry["step"] for entry in second.history] == [*range(20, 301, 20), 310]
    assert calls[-1] == (310, 310)
    assert {entry["flow"] for entry in second.history[2:]} == {first.history[-1]["flow"]}
    e = torch.cat([first.policy.embed(o) for o in obs])
    errors = [
        (result.policy.decode(result.policy.bottleneck.encode(e)[0]) - e).square().mean() for result in (first, second)
    ]
    assert errors[1] < 0.7 * errors[0]
    assert second.latent_statistics["recon_error_rms"] == pytest.approx(errors[1].sqrt().item(), rel=1e-4)


@pytest.mark.parametrize("cfg", [PretrainCfg(probe_interval=30), PretrainCfg(eval_interval=30)])
def test_intervals_that_are_no_multiple_of_the_histories_are_refused(cfg):
    with pytest.raises(
        ZprlError, match=r"PretrainCfg\.(probe|eval)_interval is 30; it must be a multiple of .* \(50\)\."
    ):
        train_policy([], [], FlowPolicyCfg(), cfg)


def test_progress_is_reported_and_the_limits_are_kept():
    calls = []
    limits = (-torch.ones(2), torch.ones(2))
    result = train(num_steps=25, action_limits=limits, on_progress=lambda *call: calls.append(call))
    assert [(step, total) for step, total, _ in calls] == [(10, 25), (20, 25), (25, 25)]
    assert [entry["step"] for entry in result.history] == [10, 20, 25]
    assert {"flow", "flow_bottleneck", "kl", "recon", "latent_rms"} <= set(calls[0][2])
    assert torch.equal(result.policy.action_low, limits[0])
    assert not any(parameter.requires_grad for parameter in result.policy.parameters())


def test_unusable_data_is_refused():
    cfg, pretrain_cfg = FlowPolicyCfg(**SMALL), PretrainCfg(num_steps=1)
    with pytest.raises(ValueError, match="as many trajectories"):
        train_policy([], [], cfg, pretrain_cfg)
    with pytest.raises(ValueError, match="3 observations and 2 actions"):
        train_policy(named([torch.zeros(3, 2)]), [torch.zeros(2, 2)], cfg, pretrain_cfg)
    with pytest.raises(ValueError, match="NaN"):
        train_policy(named([torch.full((3, 2), float("nan"))]), [torch.zeros(3, 2)], cfg, pretrain_cfg)
    with pytest.raises(ValueError, match="the observation group policy, and there are only proprio"):
        train_policy(named([torch.zeros(3, 2)], "proprio"), [torch.zeros(3, 2)], cfg, pretrain_cfg)


IMAGES = {"camera": (16, 12, 3)}
SEEING: dict[str, Any] = SMALL | {"observation_groups": ("policy", "camera", "wrench")}
SEEING |= {"embedding_class": "zprl.policies.flow.encoders:ImageEmbedding"}


def make_seen_data(num_trajectories=4, length=20):
    """Trajectories that only the image tells apart: a bright pixel column stands where the action goes."""
    generator = torch.Generator().manual_seed(0)
    obs, actions = [], []
    for _ in range(num_trajectories):
        columns = torch.randint(12, (length,), generator=generator)
        images = torch.zeros(length, *IMAGES["camera"], dtype=torch.uint8)
        images[torch.arange(length), :, columns] = 255
        states = {"policy": torch.randn(length, 2, generator=generator), "wrench": torch.zeros(length, 3)}
        obs.append({**states, "camera": images, "unseen": torch.full((length, 1), float("nan"))})
        actions.append(columns[:, None].expand(length, 2) / 6.0 - 1.0)
    return obs, actions


def test_a_data_set_gives_states_side_by_side_and_images_as_they_are():
    obs, actions = make_seen_data()
    data = ChunkDataset(obs, actions, FlowPolicyCfg(**SEEING), IMAGES, torch.device("cpu"))
    assert len(data) == 80
    rows = torch.tensor([25, 3])
    inputs = data.inputs(rows)
    assert isinstance(inputs, dict)
    assert inputs[STATE].shape == (2, 5)
    assert torch.equal(inputs[STATE][0], torch.cat([obs[1]["policy"][5], obs[1]["wrench"][5]]))
    assert torch.equal(inputs["camera"][0], obs[1]["camera"][5])
    assert inputs["camera"].dtype == torch.uint8
    for name, values in inputs.items():
        assert torch.equal(data.inputs(slice(3, 4))[name][0], values[1]), name  # pyright: ignore
    # Without images the state alone is what the policy takes, as the task orders it.
    cfg = FlowPolicyCfg(**SMALL, observation_groups=("wrench", "policy"))
    state = ChunkDataset(obs, actions, cfg, {}, torch.device("cpu")).inputs(rows)
    assert torch.equal(state, inputs[STATE][:, [2, 3, 4, 0, 1]])  # pyright: ignore
    short = [{**obs[0], "camera": obs[0]["camera"][1:]}]
    with pytest.raises(ValueError, match="19 images camera for 20 observations"):
        ChunkDataset(short, actions[:1], FlowPolicyCfg(**SEEING), IMAGES, torch.device("cpu"))


def test_training_on_images_and_its_file(tmp_path):
    obs, actions = make_seen_data()
    pretrain_cfg = PretrainCfg(num_steps=60, batch_size=32, warmup_steps=5, log_interval=10)
    # A camera that the policy does not look at is left alone.
    shapes = IMAGES | {"other": (8, 8, 3)}
    policy, history, statistics = train_policy(obs, actions, FlowPolicyCfg(**SEEING), pretrain_cfg, image_shapes=shapes)
    assert history[-1]["loss"] < history[0]["loss"]
    assert policy.image_shapes == IMAGES
    assert policy.obs_dim == 5

    together = {name: torch.cat([o[name] for o in obs]) for name in obs[0]}
    inputs = policy.inputs(together)
    chunk = policy.act(inputs)
    assert chunk.shape == (80, 3, 2)
    mean, _ = policy.encode(inputs)
    assert statistics["latent_mean_rms"] == pytest.approx(mean.square().mean().sqrt().item(), rel=1e-5)
    dark = policy.inputs({**together, "camera": torch.zeros_like(together["camera"])})
    assert not torch.allclose(policy.embed(dark), policy.embed(inputs))
    assert not torch.equal(policy.act(dark), chunk)

    save_policy(tmp_path / "base.safetensors", policy)
    loaded, _ = load_policy(tmp_path / "base.safetensors")
    assert loaded.image_shapes == IMAGES
    assert torch.equal(loaded.act(loaded.inputs(together)), chunk)


def test_an_encoder_for_images_needs_some_and_another_one_takes_none():
    with pytest.raises(ZprlError, match=r"ObservationEmbedding sees no images.*camera.*ImageEmbedding\.$") as error:
        FlowPolicy(FlowPolicyCfg(**SMALL), 4, 2, IMAGES)
    assert "\n" not in str(error.value)
    with pytest.raises(ZprlError, match=r"ImageEmbedding needs images.* see none; .*observation_groups\.$") as error:
        FlowPolicy(FlowPolicyCfg(**SEEING), 4, 2)
    assert "\n" not in str(error.value)
    for shape in ((16, 12), (3, 16, 12), (2, 2, 16, 12, 3)):  # without channels, with these first, and of two histories
        with pytest.raises(ZprlError, match=rf"needs images of shape \(height.*depth \({shape[0]}, {shape[1]}"):
            FlowPolicy(FlowPolicyCfg(**SEEING), 4, 2, {"depth": shape})


def test_an_image_is_encoded_once_for_all_its_flow_samples():
    obs, actions = make_seen_data()
    rows = []
    embed = FlowPolicy.embed

    def counting(self, inputs):
        e = embed(self, inputs)
        rows.append(len(e))
        return e

    def losses(samples, batch_size=8):
        cfg = PretrainCfg(num_steps=2, batch_size=batch_size, flow_samples=samples, log_interval=1)
        return train_policy(obs, actions, FlowPolicyCfg(**SEEING), cfg, image_shapes=IMAGES).history

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlowPolicy, "embed", counting)
        losses(4)
    assert rows == [8, 8, 80]
    # Each sample has a point of its own on its chunk's line.
    policy = train_policy(obs, actions, FlowPolicyCfg(**SEEING), PretrainCfg(num_steps=1), image_shapes=IMAGES).policy
    inputs = policy.inputs({name: values[:3] for name, values in obs[0].items()})
    chunk = torch.randn(3, *policy.chunk_shape, generator=torch.Generator().manual_seed(0))
    batch = policy.regression(inputs, chunk, torch.Generator().manual_seed(0), samples=4)
    assert torch.equal(batch.e, policy.embed(inputs).repeat_interleave(4, dim=0))
    noise = batch.target + policy.action_normalizer(chunk).repeat_interleave(4, dim=0)
    assert len(noise.flatten(1).unique(dim=0)) == 12
    t = (batch.x - noise + batch.target) / batch.target
    torch.testing.assert_close(t.flatten(1), t.flatten(1)[:, :1].expand(-1, 6), atol=1e-3, rtol=1e-3)


def test_a_depth_that_is_no_number_is_refused():
    obs, actions = make_seen_data(1)
    depth = torch.ones(20, 16, 12, 1)
    cfg = FlowPolicyCfg(**{**SEEING, "observation_groups": ("policy", "depth")})
    depth[3, 2, 1] = torch.inf  # nothing was hit
    train_policy(
        [{**obs[0], "depth": depth}], actions, cfg, PretrainCfg(num_steps=1), image_shapes={"depth": (16, 12, 1)}
    )
    depth[3, 2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"^the images depth hold NaN\.$"):
        train_policy([{**obs[0], "depth": depth}], actions, cfg, PretrainCfg(), image_shapes={"depth": (16, 12, 1)})
