# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The analysis of the latent on points that can be measured by hand, and on a small policy."""

import json
import math

import numpy as np
import pytest
import torch

from zprl.policies import FlowPolicy, FlowPolicyCfg
from zprl.study.latent_analysis import (
    SPACES,
    Demonstrated,
    analyse,
    distances_to_other_episodes,
    nearest_distances,
    principal_plane,
    random_reference,
    respond,
)
from zprl.study.run_analysis import while_running

OBS_DIM, ACTION_DIM, LATENT_DIM = 3, 2, 4


@pytest.fixture
def policy():
    torch.manual_seed(0)
    cfg = FlowPolicyCfg(
        horizon=4,
        execute_steps=2,
        num_flow_steps=2,
        embed_dim=8,
        embed_hidden_dims=(8,),
        latent_dim=LATENT_DIM,
        vib_hidden_dims=(8,),
        velocity_hidden_dim=8,
        velocity_num_blocks=1,
        time_embed_dim=8,
    )
    policy = FlowPolicy(cfg, OBS_DIM, ACTION_DIM).eval()
    with torch.no_grad():
        for parameter in policy.parameters():  # its last layer begins with zeros, so it would do nothing
            parameter.normal_(std=0.5)
    return policy


@pytest.fixture
def demonstrated(policy):
    generator = np.random.default_rng(0)
    return Demonstrated(policy, [generator.normal(size=(20, OBS_DIM)) for _ in range(3)])


def test_nearest_distances_by_hand():
    points, reference = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    assert nearest_distances(points, reference).tolist() == [1.0, 4.0]
    many = torch.randn(1200, 2)  # in more than one part
    assert nearest_distances(many, many).abs().max() < 1e-3


def test_a_points_own_episode_is_not_near():
    """Points 0 and 1 of episode 0, 10 of episode 1; the third one has moved to 12."""
    reference, episodes = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([0, 0, 1])
    assert distances_to_other_episodes(reference, reference, episodes).tolist() == [10.0, 9.0, 9.0]
    moved = torch.tensor([[0.0], [1.0], [12.0]])
    assert distances_to_other_episodes(moved, reference, episodes).tolist() == [10.0, 9.0, 11.0]


def test_respond_is_the_policy(policy):
    obs = torch.randn(5, OBS_DIM)
    response = respond(policy, obs, 0.3 * torch.ones(5, LATENT_DIM))
    chunk = policy.action_normalizer.inverse(response["actions"].reshape(5, 2, ACTION_DIM))
    torch.testing.assert_close(chunk, policy.act(obs, 0.3 * torch.ones(5, LATENT_DIM))[:, :2])
    torch.testing.assert_close(response["latent"], policy.encode(obs)[0] + 0.3)
    torch.testing.assert_close(response["features"], policy.decode(response["latent"]))


def test_no_residual_changes_nothing_and_a_known_one_as_much_as_it_should(policy, demonstrated):
    before = demonstrated.response
    still = demonstrated.measure(before, before)
    assert still["change"] == dict.fromkeys(SPACES, 0.0)
    assert still["distance"] == dict.fromkeys(SPACES, 0.0)  # the demonstrations are their own nearest
    here = demonstrated.measure_here(before)
    assert here["change"] == dict.fromkeys(SPACES, 0.0)
    assert here["distance"] == pytest.approx(dict.fromkeys(SPACES, 1.0))
    rms = before["latent"].square().mean().sqrt()
    shifted = respond(policy, demonstrated.obs, rms * torch.ones_like(before["latent"]))
    assert demonstrated.measure(before, shifted)["change"]["latent"] == pytest.approx(1.0, rel=1e-5)


def test_far_away_is_out_of_distribution(policy, demonstrated):
    far = respond(policy, demonstrated.obs, 1000.0 * torch.ones_like(demonstrated.response["latent"]))
    distance = demonstrated.measure(demonstrated.response, far)["distance"]["latent"]
    # Each point is 1000 * sqrt(4) away, but for the demonstrations' own extent of a few units.
    assert distance * demonstrated.spread["latent"] == pytest.approx(2000.0, rel=0.01)


def test_random_residuals_have_the_size_that_lambda_says(demonstrated):
    rows = random_reference(demonstrated, residual_scale=0.5)
    rms = float(demonstrated.response["latent"].square().mean().sqrt())
    for row in rows:
        # The RMS of a uniform number in [-1, 1] is 1 / sqrt(3).
        expected = row["multiple"] * 0.5 / math.sqrt(3) / rms
        assert row["change"]["latent"] == pytest.approx(expected, rel=0.1)
    assert rows[0]["distance"]["latent"] == pytest.approx(1.0)
    assert [row["multiple"] for row in rows] == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]


def test_the_plane_of_points_that_lie_in_one():
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(50, 2, generator=generator) @ torch.tensor([[3.0, 0.0, 4.0], [0.0, 1.0, 0.0]]) + 7.0
    plane = principal_plane(flat)
    assert plane.explained == pytest.approx(1.0)
    torch.testing.assert_close(plane.axes[0].abs(), torch.tensor([0.6, 0.0, 0.8]), atol=0.2, rtol=0.0)
    torch.testing.assert_close(plane.axes @ plane.axes.T, torch.eye(2), atol=1e-5, rtol=0.0)
    projected = plane.project(flat)
    torch.testing.assert_close(projected @ plane.axes + plane.center, flat, atol=1e-4, rtol=0.0)


def test_an_analysis_is_json_and_knows_the_learned_residual(demonstrated):
    visited = torch.randn(30, OBS_DIM)
    result = json.loads(
        json.dumps(analyse(demonstrated, lambda obs: torch.ones(len(obs), LATENT_DIM), 0.5, visited), allow_nan=False)
    )
    rms = float(respond(demonstrated.policy, visited)["latent"].square().mean().sqrt())
    assert result["steered_visited"]["change"]["latent"] == pytest.approx(0.5 / rms, rel=1e-5)
    assert result["base_visited"]["change"] == dict.fromkeys(SPACES, 0.0)
    assert result["base_visited"]["distance"]["latent"] > 0.0
    assert len(result["maps"]["features"]["before"]) == len(result["maps"]["actions"]["after"]) == 30


def test_observations_after_an_episodes_end_are_left_out():
    """Three plannings, four steps apart; the episodes end after 4, 5 and 12 steps."""
    observations = torch.arange(9.0).reshape(3, 3, 1)
    kept = while_running(observations, torch.tensor([4, 5, 12]), 4)
    assert kept.flatten().tolist() == [0.0, 1.0, 2.0, 4.0, 5.0, 8.0]
